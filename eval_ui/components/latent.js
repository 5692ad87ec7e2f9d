// A latent's films play, and a line runs along each curve.
//
// data: { key, html }

function animate(root) {
  const films = [...root.querySelectorAll(".film")].map((film) => ({
    video: film.querySelector("video"),
    now: film.querySelector(".now"),
    width: film.querySelector(".curve").viewBox.baseVal.width,
  })).filter((film) => film.video);
  for (const { video } of films) {
    const toggle = () => (video.paused ? video.play().catch(() => {}) : video.pause());
    video.addEventListener("click", toggle);
    video.addEventListener("keydown", (event) => {
      if (event.key === " ") { event.preventDefault(); toggle(); }
    });
    video.play().catch(() => {});
  }
  let request = 0;
  const draw = () => {
    for (const { video, now, width } of films) {
      if (!video.duration) continue;
      const x = String((width * video.currentTime) / video.duration);
      now.setAttribute("x1", x);
      now.setAttribute("x2", x);
    }
    request = requestAnimationFrame(draw);
  };
  draw();
  return () => cancelAnimationFrame(request);
}

export default function ({ parentElement, data }) {
  if (parentElement.latentKey !== data.key) {
    parentElement.latentStop?.();
    parentElement.latentKey = data.key;
    const place = parentElement.querySelector(".probe-latent");
    place.innerHTML = data.html; // escaped where it was written, eval_ui/probes_page/pictures.py
    parentElement.latentStop = animate(place);
  }
  return () => {
    parentElement.latentStop?.();
    delete parentElement.latentKey;
  };
}
