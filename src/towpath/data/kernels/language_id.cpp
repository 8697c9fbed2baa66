// The best label of a fastText model for each text: the same as FastTextModel.predict in fasttext_model.py.
// Texts are Arrow large strings; safe on any bytes. The model was checked when it was read.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

enum Loss { HIERARCHICAL_SOFTMAX = 1, SOFTMAX = 3 };

struct Model {  // as _Model in language_id.py
    const float* inputs;
    const float* outputs;
    const int64_t* word_offsets;
    const uint8_t* words;
    const int32_t* word_table;
    const uint64_t* kept_bits;
    const int32_t* kept_before;
    const int32_t* kept_rows;
    const int32_t* tree;
    int64_t n_words, word_places, buckets, n_labels, dimensions, word_ngrams, min_chars, max_chars, loss, pruned;
};

const uint32_t FNV_START = 2166136261u, FNV_FACTOR = 16777619u;

inline uint32_t fnv(uint32_t hash, uint8_t byte) {
    return (hash ^ static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(byte)))) * FNV_FACTOR;
}

inline bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

inline bool separates(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r') || byte == 0; }

uint32_t hash_of(const uint8_t* at, const uint8_t* end) {
    uint32_t hash = FNV_START;
    for (; at < end; at++) hash = fnv(hash, *at);
    return hash;
}

const uint8_t* skip_chars(const uint8_t* at, const uint8_t* end, int64_t n_chars) {
    for (; at < end; at++) {
        if (!continues(*at) && n_chars-- == 0) break;
    }
    return at;
}

class Predictor {
public:
    explicit Predictor(const Model& model)
        : model_(model), hidden_(static_cast<size_t>(model.dimensions)), logs_(static_cast<size_t>(2 * model.n_labels)) {}

    // Both ends of the text's windows, or all of it where window_chars is 0.
    void read(const uint8_t* at, const uint8_t* end, int64_t window_chars) {
        std::fill(hidden_.begin(), hidden_.end(), 0.0f);
        word_hashes_.clear();
        n_rows_ = 0;
        ended_ = false;
        if (window_chars <= 0 || end - at <= 2 * window_chars) {
            line(at, end);
        } else {
            int64_t n_chars = 0;
            for (const uint8_t* p = at; p < end; p++) n_chars += !continues(*p);
            if (n_chars <= 2 * window_chars) {
                line(at, end);
            } else {
                const uint8_t* first_end = skip_chars(at, end, window_chars);
                const int64_t middle = std::max(window_chars, (n_chars - window_chars) / 2);
                const uint8_t* second = skip_chars(first_end, end, middle - window_chars);
                line(at, first_end);
                line(second, skip_chars(second, end, window_chars));
            }
        }
        const uint8_t end_of_line[] = {'<', '/', 's', '>'};
        if (!ended_) word(end_of_line, end_of_line + 4);
        ngrams_of_words();
    }

    int64_t best(double* score, double* all) {
        *score = 0;
        if (n_rows_ == 0) return -1;
        const float scale = static_cast<float>(1.0 / static_cast<double>(n_rows_));
        for (float& value : hidden_) value *= scale;
        return model_.loss == HIERARCHICAL_SOFTMAX ? down_the_tree(score, all) : over_all(score, all);
    }

private:
    const Model& model_;
    std::vector<float> hidden_;
    std::vector<double> logs_;
    std::vector<int32_t> word_hashes_, stack_;
    std::vector<uint8_t> padded_;
    int64_t n_rows_ = 0;
    bool ended_ = false;

    void line(const uint8_t* at, const uint8_t* end) {
        while (at < end && !ended_) {
            while (at < end && separates(*at)) at++;
            const uint8_t* start = at;
            while (at < end && !separates(*at)) at++;
            if (at > start) word(start, at);
        }
    }

    int64_t row_of(const uint8_t* at, const uint8_t* end, uint32_t hash) const {
        const int64_t size = end - at, mask = model_.word_places - 1;
        for (int64_t place = hash & mask; model_.word_table[place] >= 0; place = (place + 1) & mask) {
            const int64_t row = model_.word_table[place], start = model_.word_offsets[row];
            if (model_.word_offsets[row + 1] - start == size &&
                std::memcmp(model_.words + start, at, static_cast<size_t>(size)) == 0) {
                return row;
            }
        }
        return -1;
    }

    void word(const uint8_t* at, const uint8_t* end) {
        const uint32_t hash = hash_of(at, end);
        const int64_t row = row_of(at, end, hash);
        if (row < 0 && end - at >= 9 && std::memcmp(at, "__label__", 9) == 0) return;
        if (row >= 0) add(row);
        ended_ = end - at == 4 && std::memcmp(at, "</s>", 4) == 0;
        if (!ended_ && model_.max_chars > 0) ngrams_of_chars(at, end);
        word_hashes_.push_back(static_cast<int32_t>(hash));
    }

    void ngrams_of_chars(const uint8_t* at, const uint8_t* end) {
        const auto size = static_cast<size_t>(end - at) + 2;
        padded_.resize(size);
        padded_[0] = '<';
        std::memcpy(padded_.data() + 1, at, size - 2);
        padded_[size - 1] = '>';
        for (size_t i = 0; i < size; i++) {
            if (continues(padded_[i])) continue;
            uint32_t hash = FNV_START;
            size_t j = i;
            for (int64_t n = 1; j < size && n <= model_.max_chars; n++) {
                hash = fnv(hash, padded_[j++]);
                while (j < size && continues(padded_[j])) hash = fnv(hash, padded_[j++]);
                if (n >= model_.min_chars && !(n == 1 && (i == 0 || j == size))) {
                    bucket(hash % static_cast<uint32_t>(model_.buckets));
                }
            }
        }
    }

    void ngrams_of_words() {
        const size_t n_words = word_hashes_.size(), most = static_cast<size_t>(std::max<int64_t>(model_.word_ngrams, 1));
        for (size_t i = 0; i < n_words; i++) {
            auto hash = static_cast<uint64_t>(static_cast<int64_t>(word_hashes_[i]));
            for (size_t j = i + 1; j < n_words && j < i + most; j++) {
                hash = hash * 116049371u + static_cast<uint64_t>(static_cast<int64_t>(word_hashes_[j]));
                bucket(static_cast<int64_t>(hash % static_cast<uint64_t>(model_.buckets)));
            }
        }
    }

    void bucket(int64_t number) {
        if (!model_.pruned) return add(model_.n_words + number);
        const uint64_t bits = model_.kept_bits[number >> 6], bit = 1ull << (number & 63);
        if (!(bits & bit)) return;
        const int64_t place = model_.kept_before[number >> 6] + __builtin_popcountll(bits & (bit - 1));
        add(model_.n_words + model_.kept_rows[place]);
    }

    void add(int64_t row) {
        n_rows_++;
        const float* values = model_.inputs + row * model_.dimensions;
        float* sums = hidden_.data();
        if (model_.dimensions == 16) {
            for (int i = 0; i < 16; i++) sums[i] += values[i];
            return;
        }
        for (int64_t i = 0; i < model_.dimensions; i++) sums[i] += values[i];
    }

    double score_of(int64_t row) const {
        const float* weights = model_.outputs + row * model_.dimensions;
        float sum = 0;
        for (int64_t i = 0; i < model_.dimensions; i++) sum += weights[i] * hidden_[static_cast<size_t>(i)];
        return sum;
    }

    // Without `all`, only where the best can be.
    int64_t down_the_tree(double* score, double* all) {
        const int64_t n_labels = model_.n_labels;
        int64_t best = 0;
        double best_log = -INFINITY;
        stack_.assign(1, static_cast<int32_t>(2 * n_labels - 2));
        logs_[static_cast<size_t>(2 * n_labels - 2)] = 0;
        while (!stack_.empty()) {
            const int32_t node = stack_.back();
            stack_.pop_back();
            const double log = logs_[static_cast<size_t>(node)];
            if (node < n_labels) {
                if (all) all[node] = std::exp(log);
                if (log > best_log || (log == best_log && node < best)) {
                    best = node;
                    best_log = log;
                }
                continue;
            }
            if (!all && log < best_log) continue;
            const int64_t inner = node - n_labels;
            const int32_t left = model_.tree[2 * inner], right = model_.tree[2 * inner + 1];
            const double share = 1 / (1 + std::exp(-score_of(inner)));
            logs_[static_cast<size_t>(left)] = log + std::log(1 - share + 1e-5);
            logs_[static_cast<size_t>(right)] = log + std::log(share + 1e-5);
            stack_.push_back(share < 0.5 ? right : left);
            stack_.push_back(share < 0.5 ? left : right);
        }
        *score = std::exp(best_log);
        return best;
    }

    int64_t over_all(double* score, double* all) {
        const auto n_labels = static_cast<size_t>(model_.n_labels);
        int64_t best = 0;
        for (size_t i = 0; i < n_labels; i++) {
            logs_[i] = score_of(static_cast<int64_t>(i));
            if (logs_[i] > logs_[static_cast<size_t>(best)]) best = static_cast<int64_t>(i);
        }
        const double most = logs_[static_cast<size_t>(best)];
        double sum = 0;
        for (size_t i = 0; i < n_labels; i++) {
            logs_[i] = model_.loss == SOFTMAX ? std::exp(logs_[i] - most) : 1 / (1 + std::exp(-logs_[i]));
            sum += logs_[i];
        }
        const double whole = model_.loss == SOFTMAX ? sum : 1;
        for (size_t i = 0; all && i < n_labels; i++) all[i] = logs_[i] / whole;
        *score = logs_[static_cast<size_t>(best)] / whole;
        return best;
    }
};

}  // namespace

#define PUBLIC extern "C" __attribute__((visibility("default")))

// `table`: `places` (a power of two, more than n) times -1 comes in, the row of each word by its hash goes out.
PUBLIC void language_id_words(const int64_t* offsets, const uint8_t* words, int64_t n, int32_t* table, int64_t places) {
    for (int64_t row = 0; row < n; row++) {
        int64_t place = hash_of(words + offsets[row], words + offsets[row + 1]) & (places - 1);
        while (table[place] >= 0) place = (place + 1) & (places - 1);
        table[place] = static_cast<int32_t>(row);
    }
}

// `labels` (n,), `scores` (n,), `all` null or (n, n_labels).
PUBLIC void language_id(const int64_t* offsets, const uint8_t* data, int64_t n, const Model* model, int64_t window_chars,
                        int32_t* labels, double* scores, double* all) {
    Predictor predictor(*model);
    for (int64_t i = 0; i < n; i++) {
        predictor.read(data + offsets[i], data + offsets[i + 1], window_chars);
        labels[i] = static_cast<int32_t>(predictor.best(scores + i, all ? all + i * model->n_labels : nullptr));
    }
}
