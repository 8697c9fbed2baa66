// The server's API: the model's facts, and answers as they are made. Knows nothing of the page.

export class Problem extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = body?.error?.code ?? null;
  }
}

async function request(path, key, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...options, headers });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null));
  return response;
}

export async function servedModel(key) {
  const list = await (await request("/v1/models", key)).json();
  return list.data[0];
}

// Yields {text}, and at the end {finish} and {usage}; the first item is {requestId}.
export async function* answer(path, body, key, signal) {
  const options = {
    method: "POST",
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  };
  const response = await request(path, key, options);
  yield { requestId: response.headers.get("X-Request-Id") };
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Problem(500, chunk);
    const choice = chunk.choices[0];
    const text = choice?.delta?.content ?? choice?.text;
    if (text) yield { text };
    if (choice?.finish_reason) yield { finish: choice.finish_reason };
    if (chunk.usage) yield { usage: chunk.usage };
  }
  throw new Error("The connection ended before the answer did.");
}

// The data of each server-sent event in a stream of bytes.
async function* events(bytes) {
  const reader = bytes.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (block.startsWith("data: ")) yield block.slice("data: ".length);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
