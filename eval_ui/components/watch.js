// One or two episodes with their telemetry under them; the cursor follows the videos, a click moves them.
//
// data: { key, urls, names, curves: [{ label, unit, sides: [[seconds between values, [..]]] }] }

const WIDTH = 1000;
const HEIGHT = 100;

const shown = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(2));

class Watch {
  constructor(root, data) {
    const find = (selector) => root.querySelector(selector);
    this.key = data.key;
    this.data = data;
    this.plot = find(".plot");
    this.values = find(".values");
    this.signal = find(".signal");
    this.end = find(".end");
    this.extent = find(".extent");
    this.plot.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    find(".curves").hidden = data.curves.length === 0;
    this.signal.replaceChildren(...data.curves.map((curve, index) => new Option(curve.label, String(index))));
    this.player = new Player(root, { names: data.names, urls: data.urls, announce: () => this.follow() });
    const on = this.player.on;
    on(this.signal, "change", () => this.draw());
    on(this.plot, "click", (event) => {
      const box = this.plot.getBoundingClientRect();
      this.player.seek(((event.clientX - box.left) / box.width) * this.player.length, "seek");
    });
    this.draw();
  }

  destroy() { this.player.destroy(); }

  get curve() { return this.data.curves[Number(this.signal.value)]; }

  draw() {
    if (!this.curve) return;
    const every = this.curve.sides.flatMap(([, values]) => values).filter((value) => value !== null);
    this.low = Math.min(...every);
    this.high = Math.max(...every);
    this.plot.replaceChildren();
    this.length = 0;
    this.follow();
  }

  // Lines are drawn again when the length of the videos is known.
  lines() {
    const span = this.high - this.low || 1;
    const height = (value) => HEIGHT * (0.93 - (0.86 * (value - this.low)) / span);
    this.plot.replaceChildren(...this.curve.sides.map(([every, values], index) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      line.setAttribute("class", index ? "second" : "first");
      line.setAttribute("points", values
        .map((value, place) => `${((WIDTH * place * every) / this.length).toFixed(1)},${height(value).toFixed(1)}`)
        .join(" "));
      return line;
    }));
    this.cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    this.cursor.setAttribute("y1", "0");
    this.cursor.setAttribute("y2", String(HEIGHT));
    this.plot.append(this.cursor);
    this.end.textContent = this.player.time.textContent.split(" / ")[1];
    this.extent.textContent = `from ${shown(this.low)} to ${shown(this.high)} ${this.curve.unit}`;
  }

  follow() {
    if (!this.player || !this.curve || !this.player.length) return;
    if (this.length !== this.player.length) {
      this.length = this.player.length;
      this.lines();
    }
    const at = this.player.position;
    const x = String((WIDTH * at) / this.length);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.values.replaceChildren(...this.curve.sides.map(([every, values], index) => {
      const text = document.createElement("strong");
      text.className = index ? "second" : "first";
      const place = Math.min(values.length - 1, Math.floor(at / every + 1e-6));
      const name = this.data.names.length > 1 ? `${this.data.names[index]} ` : "";
      text.textContent = `${index ? "  ·  " : ""}${name}${shown(values[place])} ${this.curve.unit}`;
      return text;
    }));
  }
}

export default function ({ parentElement, data }) {
  if (parentElement.watch?.key !== data.key) {
    fill(parentElement);
    parentElement.watch?.destroy();
    parentElement.watch = new Watch(parentElement, data);
  }
  return () => {
    parentElement.watch?.destroy();
    delete parentElement.watch;
  };
}
