// The picture on the screen: filling its space or fitted into it, enlarged and moved by touch, mouse
// and keyboard. The canvas always has the size of the picture. Its box never changes, so that no
// picture makes the browser lay out the page: how much of the picture is seen, and where, is a matter
// of object-fit, object-position and transform.

const MOST = 5; // times larger than the picture that fits or fills
const STEP = 1.25; // for a key or a turn of the wheel
const SHIFT = 0.15; // of the view, for an arrow key
const TAP_MS = 300; // a longer touch, or a longer pause between two, is no double tap
const TAP_PX = 24;
const SHARP = 1.4; // times as wide as it is shown: the daemon halves, and the next size would be blurred
const WIDEST = 4096; // pixels that a picture is asked to have, at most

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

export class Screen {
  // `stage` says with data-full that the picture has the whole screen.
  constructor(stage, canvas) {
    this.stage = stage;
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.mode = ""; // "fit" or "fill" if the user has chosen, until the phone is turned
    this.shape = "";
    this.zoom = 1;
    this.x = 0; // how far the middle of the picture is from the middle of the view, in CSS pixels
    this.y = 0;
    this.isPlanned = false;
    this.pointers = new Map();
    this.tap = { at: 0, x: 0, y: 0 };
    this.listen();
    this.arrange();
  }

  draw(bitmap) {
    const { canvas } = this;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      this.plan();
    }
    this.context.drawImage(bitmap, 0, 0);
  }

  // Leave nothing of the picture.
  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  get picture() {
    return this.canvas;
  }

  // How many pixels wide a picture may usefully be.
  get width() {
    const pixels = SHARP * this.canvas.width * this.scale * (window.devicePixelRatio || 1);
    return clamp(Math.ceil(pixels), 1, WIDEST);
  }

  get view() {
    return { width: this.canvas.clientWidth || 1, height: this.canvas.clientHeight || 1 };
  }

  get fills() {
    const byDefault = this.shape === "upright" ? "fill" : "fit";
    return (this.mode || byDefault) === "fill";
  }

  // CSS pixels for a pixel of the picture.
  get scale() {
    const { width, height } = this.view;
    const across = width / this.canvas.width;
    const down = height / this.canvas.height;
    return this.zoom * (this.fills ? Math.max(across, down) : Math.min(across, down));
  }

  // Drawing it where it belongs

  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.arrange();
    });
  }

  arrange() {
    const isWide = window.innerWidth > window.innerHeight;
    const shape = isWide || "full" in this.stage.dataset ? "whole" : "upright";
    if (shape !== this.shape) this.reset(shape);
    const { style } = this.canvas;
    const { width, height } = this.view;
    const across = this.place(this.x, width, this.canvas.width);
    const down = this.place(this.y, height, this.canvas.height);
    this.x = across.at;
    this.y = down.at;
    style.objectFit = this.fills ? "cover" : "contain";
    style.objectPosition = `calc(50% + ${across.inside}px) calc(50% + ${down.inside}px)`;
    style.transform = this.zoom > 1
      ? `translate(${across.outside}px, ${down.outside}px) scale(${this.zoom})`
      : "none";
    this.stage.dataset.fit = this.fills ? "fill" : "fit";
  }

  reset(shape) {
    this.shape = shape;
    this.mode = "";
    this.zoom = 1;
    this.x = this.y = 0;
  }

  // How far the picture can go in one direction. What object-fit cuts off is brought back by
  // object-position, `inside` the box; the rest moves the box itself, `outside`.
  place(wanted, view, pixels) {
    const length = pixels * this.scale;
    const limit = Math.max((length - view) / 2, 0);
    const at = clamp(wanted, -limit, limit);
    const cut = Math.max((length / this.zoom - view) / 2, 0);
    const inside = clamp(at / this.zoom, -cut, cut);
    return { at, inside, outside: at - inside * this.zoom };
  }

  // What the user does

  // `x` and `y`, from the middle of the view, show the same point of the picture as before.
  zoomTo(zoom, x = 0, y = 0) {
    const next = clamp(zoom, 1, MOST);
    const grows = next / this.zoom;
    this.x = x + (this.x - x) * grows;
    this.y = y + (this.y - y) * grows;
    this.zoom = next;
    this.plan();
  }

  move(x, y) {
    this.x += x;
    this.y += y;
    this.plan();
  }

  toggle() {
    if (this.zoom === 1) this.mode = this.fills ? "fit" : "fill";
    this.zoom = 1;
    this.x = this.y = 0;
    this.plan();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", ({ pointerId }) => this.pointers.delete(pointerId));
    canvas.addEventListener("wheel", (event) => this.turn(event), { passive: false });
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => this.plan());
    new MutationObserver(() => this.plan())
      .observe(this.stage, { attributes: true, attributeFilter: ["data-full"] });
    if (window.ResizeObserver) new ResizeObserver(() => this.plan()).observe(canvas);
  }

  // Where a finger is, from the middle of the view.
  spot(event) {
    const box = this.canvas.parentElement.getBoundingClientRect();
    return {
      x: event.clientX - box.left - box.width / 2,
      y: event.clientY - box.top - box.height / 2,
    };
  }

  press(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const spot = this.spot(event);
    this.pointers.set(event.pointerId, spot);
    this.pressed = this.pointers.size === 1 ? { ...spot, at: event.timeStamp } : null;
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const spot = this.spot(event);
    const other = Array.from(this.pointers).find(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, spot);
    if (!other) {
      this.move(spot.x - before.x, spot.y - before.y);
      return;
    }
    // Each finger moves the middle between both by half of its way.
    const [, still] = other;
    const apart = (one) => Math.hypot(one.x - still.x, one.y - still.y) || 1;
    this.move((spot.x - before.x) / 2, (spot.y - before.y) / 2);
    const middle = { x: (spot.x + still.x) / 2, y: (spot.y + still.y) / 2 };
    this.zoomTo((this.zoom * apart(spot)) / apart(before), middle.x, middle.y);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    const { pressed, tap } = this;
    this.pressed = null;
    if (!pressed || event.timeStamp - pressed.at > TAP_MS) return;
    const { x, y } = this.spot(event);
    const isNear = (one) => Math.hypot(one.x - x, one.y - y) < TAP_PX;
    if (!isNear(pressed)) return;
    if (event.timeStamp - tap.at < TAP_MS && isNear(tap)) {
      this.toggle();
      this.tap = { at: 0, x, y };
    } else {
      this.tap = { at: event.timeStamp, x, y };
    }
  }

  turn(event) {
    event.preventDefault();
    const { x, y } = this.spot(event);
    // Two fingers on a touchpad come as many small turns, with the control key.
    const step = event.ctrlKey ? Math.exp(-event.deltaY / 100) : STEP ** -Math.sign(event.deltaY);
    this.zoomTo(this.zoom * step, x, y);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const isFree = [document.body, this.canvas].includes(document.activeElement);
    const { width, height } = this.view;
    const act = isFree && {
      "+": () => this.zoomTo(this.zoom * STEP),
      "=": () => this.zoomTo(this.zoom * STEP),
      "-": () => this.zoomTo(this.zoom / STEP),
      0: () => this.toggle(),
      ArrowLeft: () => this.move(width * SHIFT, 0),
      ArrowRight: () => this.move(-width * SHIFT, 0),
      ArrowUp: () => this.move(0, height * SHIFT),
      ArrowDown: () => this.move(0, -height * SHIFT),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
