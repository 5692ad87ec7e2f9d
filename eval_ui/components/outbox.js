// What a rater does, on its way to the server: sent again until the server has answered, however long that takes, and one
// act at a time. The server carries out an act that comes twice once, so nothing is lost or doubled. Answers that it has
// not acknowledged survive a reload in the browser's storage.

const ACT_PATH = "/judging/act";
const UNSENT = "basalt-unsent-";                       // keys in the browser's storage, one for each answer
const PATIENCE = 20_000;                               // milliseconds for one attempt
const WAITS = [500, 1_000, 2_000, 4_000, 8_000];       // milliseconds between attempts; from then on the last
const RENEW_EVERY = 60_000;                            // milliseconds
const IDLE_AFTER = 300_000;                            // milliseconds
const REDRAW_EVERY = 3_000;                            // milliseconds
const RELOAD_AFTER = 15_000;                           // milliseconds

const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

const post = (act) => fetch(ACT_PATH, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(act),
  signal: AbortSignal.timeout(PATIENCE),
});

class Outbox {
  // reply(act, reply): the server has answered; slow(text): it has not, and the act is sent again
  constructor({ reply, slow }) {
    this.reply = reply;
    this.slow = slow;
    this.queue = Outbox.kept();
    this.online = () => this.wake?.();
    window.addEventListener("online", this.online);
    this.run();
  }

  // The page is gone: what is on its way is still sent, but nobody hears of the reply.
  destroy() {
    window.removeEventListener("online", this.online);
    this.reply = this.slow = () => {};
  }

  has(pair) { return this.queue.some((act) => act.pair === pair); }

  add(act) {
    const made = { ...act, nonce: `${Date.now()}-${Math.random()}` };
    if (made.kind !== "undo") {
      try { localStorage.setItem(UNSENT + made.nonce, JSON.stringify(made)); } catch { /* storage is full or blocked */ }
    }
    this.queue.push(made);
    this.run();
  }

  static kept() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(UNSENT)).sort()
        .map((key) => JSON.parse(localStorage.getItem(key)));
    } catch { return []; }
  }

  static refusal(code) { return `${say("sending.not_saved")} ${say(`refused.${code || "malformed"}`)}`; }

  async run() {
    if (this.running) return;
    this.running = true;
    while (this.queue.length) {
      const reply = await this.deliver(this.queue[0]);
      const act = this.queue.shift();
      try { localStorage.removeItem(UNSENT + act.nonce); } catch { /* storage is blocked */ }
      this.reply(act, reply);
    }
    this.running = false;
  }

  async deliver(act) {
    for (let attempt = 0; ; attempt += 1) {
      const response = await post(act).catch(() => null);
      const final = response && response.status < 500 && response.status !== 429;
      const said = final ? await response.json().catch(() => null) : null;
      if (said) return response.ok ? said : { ok: false, stored: false, text: Outbox.refusal(said.code) };
      this.slow(say(response ? "sending.busy" : "sending.offline"));
      await Promise.race([
        sleep(WAITS[Math.min(attempt, WAITS.length - 1)]),
        new Promise((resolve) => { this.wake = resolve; }),
      ]);
    }
  }
}

// Whether somebody is at the page: it moved, touched, scrolled or typed within the last minutes.
class Presence {
  constructor() {
    this.listeners = new AbortController();
    this.last = Date.now();
    for (const type of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      window.addEventListener(type, () => { this.last = Date.now(); }, { passive: true, signal: this.listeners.signal });
    }
  }

  get idle() { return Date.now() - this.last > IDLE_AFTER; }

  destroy() { this.listeners.abort(); }
}

// Draws the page again until it shows something new, and reloads it if that does not come: everything is stored by then.
class Redraw {
  ask() {} // asks Streamlit; the element sets it each time it is drawn

  begin() {
    this.end();
    const since = Date.now();
    this.ask();
    this.timer = setInterval(async () => {
      this.ask();
      if (Date.now() - since < RELOAD_AFTER) return;
      const response = await fetch(location.pathname, { method: "HEAD" }).catch(() => null);
      if (response?.ok && this.timer) location.reload();
    }, REDRAW_EVERY);
  }

  end() {
    clearInterval(this.timer);
    this.timer = null;
  }
}
