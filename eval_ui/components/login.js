// Login and logout. Only a response of the server can set the session cookie, which scripts cannot read.
//
// data: { login, logout: addresses, inside: whether somebody is logged in }

export default function ({ parentElement, data }) {
  const form = parentElement.querySelector(".login");
  const leave = parentElement.querySelector(".logout");
  const trouble = parentElement.querySelector("[role=alert]");
  form.hidden = data.inside;
  leave.hidden = !data.inside;
  form.onsubmit = async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const answer = await fetch(data.login, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    }).catch(() => null);
    if (answer?.ok) return location.reload();
    trouble.textContent = answer ? (await answer.json()).detail : "The server is not responding.";
  };
  leave.onclick = async () => {
    await fetch(data.logout, { method: "POST" });
    location.reload();
  };
}
