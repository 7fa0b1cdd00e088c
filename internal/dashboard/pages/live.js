// Brings the part of a page that changes up to date as the server sends it. The
// browser connects again by itself when the connection breaks.
const live = document.getElementById("live");
if (live) {
  const events = new EventSource(live.dataset.from);
  events.onmessage = (e) => {
    live.classList.remove("lost");
    if (!window.getSelection().toString()) live.innerHTML = e.data; // whoever copies something may finish
  };
  events.onerror = () => live.classList.add("lost");
}
