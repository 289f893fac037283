// The stream of the page: opened with fetch, cut into its parts here. docs/live.md describes it.

const MOST_HEAD = 4096; // bytes in the headers of a part
const MOST_BODY = 32 * 1024 * 1024; // the daemon takes no picture of more than 16 MiB
const MOST_TEXT = 200; // characters of an error that are worth showing
const BOUNDARY = "--frame\r\n";
const CONTENT_TYPE = "application/octet-stream";
const RETURN = 13;
const NEWLINE = 10;

class DamagedError extends Error {}

// Seconds of a clock that never jumps; it may stand still while the device sleeps.
export function monotonic() {
  return performance.now() / 1000;
}

// Cuts bytes into parts, however they are chunked. A part is {headers, chunks}: the chunks are views
// of the bytes that came, so nothing is copied, and no more is kept than one part.
export class PartParser {
  constructor() {
    this.hasEnded = false; // The daemon has said that it stops on purpose.
    this._head = new Uint8Array(MOST_HEAD);
    this._headLength = 0;
    this._start = BOUNDARY; // of the next part
    this._headers = null; // of the part whose body is being read
    this._chunks = [];
    this._missing = 0; // bytes of that body
  }

  // Returns the parts that are complete with this chunk. Throws if it is not our stream.
  push(chunk) {
    const parts = [];
    let at = 0;
    while (at < chunk.length) {
      at = this._headers ? this._readBody(chunk, at) : this._readHead(chunk, at);
      if (this._headers && !this._missing) parts.push(this._finish());
    }
    return parts;
  }

  _readHead(chunk, start) {
    const head = this._head;
    let length = this._headLength;
    for (let at = start; at < chunk.length; at += 1) {
      if (length === MOST_HEAD) throw new DamagedError("a part has no end of its headers");
      head[length] = chunk[at];
      length += 1;
      if (isEndOfHead(head, length)) {
        this._headLength = 0;
        this._begin(asText(head.subarray(0, length)));
        return at + 1;
      }
    }
    this._headLength = length;
    if (asText(head.subarray(0, length)).includes("\r\nX-Ended:")) this.hasEnded = true;
    return chunk.length;
  }

  _begin(text) {
    if (!text.startsWith(this._start)) throw new DamagedError("a part has no boundary before it");
    const headers = {};
    for (const line of text.slice(this._start.length).trim().split("\r\n")) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const length = headers["content-length"];
    if (!/^\d{1,9}$/.test(length) || Number(length) > MOST_BODY) {
      throw new DamagedError(`the length of a part is ${length}`);
    }
    this._headers = headers;
    this._missing = Number(length);
  }

  _readBody(chunk, start) {
    const end = Math.min(chunk.length, start + this._missing);
    this._chunks.push(chunk.subarray(start, end));
    this._missing -= end - start;
    return end;
  }

  _finish() {
    const part = { headers: this._headers, chunks: this._chunks };
    this._start = `\r\n${BOUNDARY}`;
    this._headers = null;
    this._chunks = [];
    return part;
  }
}

function isEndOfHead(head, length) {
  return head[length - 1] === NEWLINE && head[length - 2] === RETURN
    && head[length - 3] === NEWLINE && head[length - 4] === RETURN;
}

function asText(bytes) {
  return String.fromCharCode.apply(null, bytes); // Headers are ASCII.
}

function joined(chunks) {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

// One stream at a time. The handlers are called with:
//   opened({serverNow, sentAt, receivedAt})          the daemon has answered
//   picture({blob, timestamp, quality, receivedAt})
//   state(object, receivedAt)
//   end({status, error, text, hasEnded})             never after close()
// Times are seconds of monotonic(), timestamps those of the daemon's clock. `status` is 0 without an
// answer; `error` is null if the stream has merely ended.
export class LiveStream {
  constructor(handlers) {
    this.heardAt = -Infinity; // when the last byte came
    this.received = 0; // bytes, of all streams
    this.isOpen = false; // The daemon has answered, and the stream goes on.
    this._handlers = handlers;
    this._abort = null;
  }

  get isClosed() {
    return !this._abort;
  }

  open(query) {
    this.close();
    const abort = new AbortController();
    this._abort = abort;
    this._run(query, abort).then((end) => {
      if (this._abort !== abort) return;
      this.close();
      this._handlers.end(end);
    });
  }

  close() {
    const abort = this._abort;
    this._abort = null;
    this.isOpen = false;
    if (abort) abort.abort();
  }

  async _run(query, abort) {
    const end = { status: 0, error: null, text: "", hasEnded: false };
    const parser = new PartParser();
    try {
      const sentAt = monotonic();
      const answer = await fetch(`live?${query}`, {
        cache: "no-store",
        headers: { Accept: `${CONTENT_TYPE}, application/json` },
        signal: abort.signal,
      });
      if (this._abort !== abort) return end;
      end.status = answer.status;
      if (answer.status !== 200) {
        end.text = await reason(answer);
      } else if (answer.headers.get("Content-Type") === CONTENT_TYPE) {
        await this._read(answer, sentAt, parser, abort);
      } else {
        end.error = new DamagedError("another program has answered");
      }
    } catch (error) {
      end.error = error;
    }
    end.hasEnded = parser.hasEnded;
    return end;
  }

  async _read(answer, sentAt, parser, abort) {
    const receivedAt = monotonic();
    this.heardAt = receivedAt;
    this.isOpen = true;
    const serverNow = Number(answer.headers.get("X-Now"));
    if (serverNow) this._handlers.opened({ serverNow, sentAt, receivedAt });
    const reader = answer.body.getReader();
    while (this._abort === abort) {
      const { done, value } = await reader.read();
      if (done || this._abort !== abort) return;
      this.heardAt = monotonic();
      this.received += value.length;
      for (const part of parser.push(value)) this._deliver(part);
    }
  }

  _deliver({ headers, chunks }) {
    const type = headers["content-type"];
    if (type === "image/jpeg") {
      this._handlers.picture({
        blob: new Blob(chunks, { type }),
        timestamp: Number(headers["x-timestamp"]),
        quality: Number(headers["x-quality"]) || 0,
        receivedAt: this.heardAt,
      });
    } else if (type === "application/json") {
      const text = new TextDecoder().decode(joined(chunks));
      this._handlers.state(JSON.parse(text), this.heardAt);
    }
  }
}

// What a program has to say about its refusal; a proxy's page is of no use here.
async function reason(answer) {
  if (!/^text\/plain\b/.test(answer.headers.get("Content-Type"))) return "";
  return (await answer.text()).trim().slice(0, MOST_TEXT);
}
