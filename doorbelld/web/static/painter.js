// Decodes pictures and draws the newest one. While one is being decoded, only the newest of those
// that come is kept; the others are skipped.

import { monotonic } from "./live.js";

// WebKitGTK keeps some 4 kB of each blob that createImageBitmap reads, as long as the page is open.
// An image leaves nothing behind there.
const isWebKit = /^Apple/.test(navigator.vendor);

async function asBitmap(blob) {
  const bitmap = await createImageBitmap(blob);
  return { source: bitmap, free: () => bitmap.close() };
}

function asImage(blob) {
  const url = URL.createObjectURL(blob);
  const image = new Image();
  const free = () => {
    image.removeAttribute("src"); // or the pixels stay until the garbage is collected
    URL.revokeObjectURL(url);
  };
  return new Promise((resolve, reject) => {
    image.onload = () => resolve({ source: image, free });
    image.onerror = () => {
      free();
      reject(new Error("not a picture"));
    };
    image.src = url;
  });
}

export class Painter {
  // `drawn` is called with each picture when it is on the screen, and the time of that.
  constructor(screen, drawn) {
    this.shown = null; // the picture on the screen: {blob, timestamp, …}
    this._screen = screen;
    this._drawn = drawn;
    const isImage = isWebKit || typeof createImageBitmap !== "function";
    this._decode = isImage ? asImage : asBitmap;
    this._current = null; // the picture that is being decoded
    this._waiting = null;
  }

  show(picture) {
    if (this._current) {
      this._waiting = picture;
    } else {
      this._paint(picture);
    }
  }

  // Draw nothing more of what has come so far.
  drop() {
    this._current = this._waiting = null;
  }

  // Take away what is on the screen as well.
  clear() {
    this.drop();
    if (!this.shown) return;
    this.shown = null;
    this._screen.clear();
  }

  async _paint(picture) {
    this._current = picture;
    const decoded = await this._decoded(picture.blob);
    if (decoded && this._current === picture) {
      this._screen.draw(decoded.source);
      this.shown = picture;
      this._drawn(picture, monotonic());
    }
    if (decoded) decoded.free();
    if (this._current !== picture) return;
    const next = this._waiting;
    this.drop();
    if (next) this._paint(next);
  }

  // Returns null if it is no picture.
  async _decoded(blob) {
    try {
      return await this._decode(blob);
    } catch (error) {
      if (this._decode === asImage) return null;
    }
    // Some browsers have createImageBitmap, but not for JPEG in a blob.
    const decoded = await asImage(blob).catch(() => null);
    if (decoded) this._decode = asImage;
    return decoded;
  }
}
