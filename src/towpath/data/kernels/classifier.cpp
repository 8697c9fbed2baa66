// A linear classifier over hashed word n-grams: scores of texts, and stochastic gradient descent.
// Words, hashes and arithmetic are those of `reference_scores` and `reference_train` in
// classifier.py, which is the oracle.

#include <cmath>
#include <cstdint>

namespace {

constexpr int kMaxNgram = 8;
constexpr uint64_t kOffset = 1469598103934665603ULL, kPrime = 1099511628211ULL;  // FNV-1a
constexpr uint64_t kNgram = 116049371ULL;                                        // fastText
constexpr uint64_t kMix = 0x9E3779B97F4A7C15ULL;

// What a byte is in a word: lower case, digits as 0; 0 for white space and control characters; marks
// as they are.
inline uint8_t folded(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c + 32;
  if (c >= '0' && c <= '9') return '0';
  return c <= ' ' ? 0 : c;
}

inline bool in_word(uint8_t c) { return c >= 0x80 || c == '0' || (c >= 'a' && c <= 'z'); }

struct Shape {
  int32_t bucket_bits, max_ngram;
  int64_t max_bytes;
};

// Calls `visit(bucket)` for each n-gram that ends at each word; gives their number.
template <typename Visit>
int64_t for_each_bucket(const uint8_t* text, int64_t size, const Shape& shape, Visit visit) {
  uint64_t last[kMaxNgram] = {};  // hashes of the last words, the newest first
  int64_t words = 0, features = 0, at = 0;
  if (size > shape.max_bytes) size = shape.max_bytes;
  while (at < size) {
    uint8_t c = folded(text[at++]);
    if (c == 0) continue;
    uint64_t hash = (kOffset ^ c) * kPrime;
    if (in_word(c))
      for (; at < size && in_word(c = folded(text[at])); ++at) hash = (hash ^ c) * kPrime;
    for (int i = shape.max_ngram - 1; i > 0; --i) last[i] = last[i - 1];
    last[0] = hash;
    ++words;
    uint64_t ngram = 0;
    for (int i = 0; i < shape.max_ngram && i < words; ++i) {
      ngram = ngram * kNgram + last[i];
      visit((ngram * kMix) >> (64 - shape.bucket_bits));
      ++features;
    }
  }
  return features;
}

double probability(const uint8_t* text, int64_t size, const Shape& shape, const float* weights, int64_t* features) {
  double sum = 0;
  *features = for_each_bucket(text, size, shape, [&](uint64_t bucket) { sum += weights[bucket]; });
  const double score = *features ? sum / static_cast<double>(*features) : 0;
  return 1 / (1 + std::exp(-score));
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void classifier_scores(const int64_t* offsets, const uint8_t* data, int64_t n, const float* weights,
                              int32_t bucket_bits, int32_t max_ngram, int64_t max_bytes, double* scores) {
  const Shape shape = {bucket_bits, max_ngram, max_bytes};
  int64_t features;
  for (int64_t i = 0; i < n; ++i)
    scores[i] = probability(data + offsets[i], offsets[i + 1] - offsets[i], shape, weights, &features);
}

// One step for each of `order`; `probabilities` is what each text was given before its step.
EXPORT void classifier_train(const int64_t* offsets, const uint8_t* data, const uint8_t* is_good,
                             const int64_t* order, int64_t n_steps, double learning_rate, float* weights,
                             int32_t bucket_bits, int32_t max_ngram, int64_t max_bytes, double* probabilities) {
  const Shape shape = {bucket_bits, max_ngram, max_bytes};
  for (int64_t step = 0; step < n_steps; ++step) {
    const int64_t i = order[step];
    const uint8_t* text = data + offsets[i];
    const int64_t size = offsets[i + 1] - offsets[i];
    int64_t features;
    probabilities[step] = probability(text, size, shape, weights, &features);
    if (features == 0) continue;
    const double rate = learning_rate * (1 - static_cast<double>(step) / static_cast<double>(n_steps));
    const double error = (is_good[i] ? 1.0 : 0.0) - probabilities[step];
    const float change = static_cast<float>(rate * error / static_cast<double>(features));
    for_each_bucket(text, size, shape, [&](uint64_t bucket) { weights[bucket] += change; });
  }
}
