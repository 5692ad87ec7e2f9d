"use strict";
// Draws the server's frames on the canvas; sends back keys, buttons and movements of the locked pointer.

const byId = (id) => document.getElementById(id);
const canvas = byId("picture"), stage = document.querySelector("main"), cover = byId("cover");
const picture = canvas.getContext("2d");
const SECOND_CLIENT = 4409, STEPS_PER_SECOND = 20;

let socket = null, state = null, playing = false, begun = false, closed = false, pausedAt = 0;

// The token works once; a reload needs only the cookie.
history.replaceState(null, "", location.pathname);

function send(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/socket`);
  socket.binaryType = "blob";
  socket.onmessage = (event) => (typeof event.data === "string" ? updateStatus(JSON.parse(event.data)) : drawFrame(event.data));
  socket.onclose = (event) => {
    letGo();
    if (event.code === SECOND_CLIENT) {
      closed = true;
      say("The game is being played in another window. Close that one, then reload this page.");
    } else if (state && state.phase === "over") {
      closed = true;
      say(state.note);
    } else {
      say("Connection lost; the game is paused. Reconnecting …");
      setTimeout(connect, 1000);
    }
  };
}

async function drawFrame(blob) {
  const image = await createImageBitmap(blob);
  if (canvas.width !== image.width) [canvas.width, canvas.height] = [image.width, image.height];
  picture.drawImage(image, 0, 0);
  image.close();
  canvas.dataset.pictures = Number(canvas.dataset.pictures || 0) + 1;
}

function updateStatus(status) {
  state = status;
  byId("title").textContent = status.title;
  byId("instruction").textContent = status.instruction;
  document.title = `${status.title} – basalt play`;
  canvas.dataset.step = status.step;
  if (status.phase === "playing") {
    const left = Math.floor((status.limit - status.step) / STEPS_PER_SECOND);
    byId("clock").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left`;
    byId("late").textContent = status.late_steps ? `${status.late_steps} of ${status.step} steps were late` : "";
  }
  if (!playing) offer();
}

function say(text) {
  byId("message").textContent = text;
  byId("keys").hidden = byId("choices").hidden = true;
  cover.hidden = false;
}

// The overlay while the game is paused.
function offer() {
  if (state.phase === "starting") return say(state.note || "The world is starting …");
  if (state.phase === "over") return say(state.note);
  byId("message").textContent = begun ? "Paused" : "Ready";
  byId("play").textContent = begun ? "Resume" : "Play";
  byId("end").hidden = !begun;
  byId("keys").hidden = byId("choices").hidden = false;
  cover.hidden = false;
}

async function take(full) {
  if (full && !document.fullscreenElement) {
    await stage.requestFullscreen();
    // In full screen, browsers that support it leave Control+W and similar keys to the page.
    if (navigator.keyboard && navigator.keyboard.lock) navigator.keyboard.lock().catch(() => {});
  }
  try {
    await canvas.requestPointerLock();
  } catch (error) {
    byId("message").textContent = "The browser did not lock the pointer; try again in a second.";
  }
}

function letGo() {
  if (document.pointerLockElement) document.exitPointerLock();
  if (playing) {
    playing = false;
    pausedAt = performance.now();
    send({ kind: "pause" });
  }
}

function end() {
  send({ kind: "esc" });
  say("Ending the episode …");
}

document.addEventListener("pointerlockchange", () => {
  if (document.pointerLockElement === canvas) {
    playing = begun = true;
    cover.hidden = true;
    send({ kind: "play" });
  } else {
    letGo();
    if (state && !closed) offer();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.code === "Escape") {
    event.preventDefault();
    // The first ESC frees the pointer, maybe before this event arrives; the second one ends the episode.
    if (playing) return letGo();
    if (begun && !event.repeat && performance.now() - pausedAt > 300 && state.phase === "playing") end();
    return;
  }
  if (!playing) return;
  event.preventDefault();
  if (!event.repeat) send({ kind: "key", code: event.code, down: true });
});
document.addEventListener("keyup", (event) => {
  if (playing) send({ kind: "key", code: event.code, down: false });
});
canvas.addEventListener("mousedown", (event) => {
  event.preventDefault();
  if (playing) send({ kind: "mouse", button: event.button, down: true });
});
document.addEventListener("mouseup", (event) => {
  if (playing) send({ kind: "mouse", button: event.button, down: false });
});
document.addEventListener("mousemove", (event) => {
  if (playing && (event.movementX || event.movementY)) send({ kind: "move", dx: event.movementX, dy: event.movementY });
});
document.addEventListener("wheel", (event) => {
  if (playing) send({ kind: "wheel", notches: Math.sign(event.deltaY) });
});
document.addEventListener("contextmenu", (event) => event.preventDefault());
window.addEventListener("blur", letGo);
window.addEventListener("beforeunload", (event) => {
  if (begun && !closed && state && state.phase === "playing") event.preventDefault();
});
byId("play").addEventListener("click", () => take(false));
byId("full").addEventListener("click", () => take(true));
byId("end").addEventListener("click", end);

connect();
