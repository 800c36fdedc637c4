// Brings to an open page what changes, says when it does not, and gives the page its keys. Without it the page is
// complete: it is loaded anew instead.
"use strict";
(() => {
  // Longer than three of the server's beats.
  const OLD_MS = 16_000;
  const AGAIN_MS = 5_000;
  const address = document.body.dataset.live;
  const link = document.getElementById("link");
  const old = document.getElementById("old");
  const csrf = document.querySelector("meta[name=csrf]")?.content;
  let source = null;
  let heard = Date.now();
  // How far the browser's clock is ahead of the server's.
  let ahead = 0;
  // A change does not fit this page.
  let astray = false;

  const options = {
    morphStyle: "outerHTML",
    ignoreActiveValue: true,
    callbacks: {
      // What is being typed is not changed from outside.
      beforeNodeMorphed: (node) => node.id !== "filter",
      // What was opened stays open.
      beforeAttributeUpdated: (name, node) => !(name === "open" && /^(DETAILS|DIALOG)$/.test(node.tagName)),
    },
  };

  // What is on the page by this ID becomes as `piece` is; gives it, if it is there.
  const renew = (piece) => {
    const here = document.getElementById(piece.id);
    if (here) Idiomorph.morph(here, piece, options);
    return here && document.getElementById(piece.id);
  };

  // A child of a group is gone, is new, or has another place.
  const order = ({ content, dataset: { gone, from, into, after } }) => {
    const child = (group, id) => [...(document.getElementById(group)?.children ?? [])].find((one) => one.id === id);
    if (gone) {
      child(from, gone)?.remove();
      return;
    }
    const piece = content.firstElementChild;
    const here = renew(piece) ?? piece;
    const group = document.getElementById(into);
    const before = after && child(into, after);
    if (before) before.after(here);
    else if (group && !after) group.prepend(here);
    else astray = true;
  };

  const patch = (html) => {
    const pieces = document.createElement("template");
    pieces.innerHTML = html;
    const focused = document.activeElement;
    astray = false;
    for (const piece of [...pieces.content.children]) {
      if (piece.localName === "template") order(piece);
      else renew(piece);
    }
    // What is moved loses it.
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    if (csrf) document.querySelectorAll("#page input[name=csrf]").forEach((input) => { input.value = csrf; });
    const title = document.getElementById("top")?.dataset.title;
    if (title) document.title = title;
    tick();
    // This page is not the one that the server means: the whole of it is asked for.
    if (astray) again();
  };

  const again = () => {
    source?.close();
    source = null;
    if (!document.hidden) connect();
  };

  const rough = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86_400)} d`;
  };

  // Times go on while nothing changes.
  const tick = () => {
    const now = Date.now() - ahead;
    document.querySelectorAll("time[data-ago], time[data-since]").forEach((time) => {
      const seconds = Math.max(0, Math.floor((now - Date.parse(time.dateTime)) / 1000));
      const isAgo = time.hasAttribute("data-ago");
      const text = isAgo && seconds <= 1 ? "just now" : rough(seconds) + (isAgo ? " ago" : "");
      if (time.textContent !== text) time.textContent = text;
    });
  };

  const say = () => {
    const silent = Date.now() - heard;
    const isOld = silent > OLD_MS || (silent > 2_000 && source?.readyState !== EventSource.OPEN);
    document.documentElement.classList.toggle("is-old", isOld);
    const text = isOld ? "not live" : "live";
    if (link.textContent !== text) link.textContent = text;
    link.hidden = false;
    link.classList.toggle("lost", isOld);
    old.hidden = !isOld;
    if (isOld) {
      const at = new Date(heard).toISOString().slice(11, 19);
      const sentence = `Connection lost. Showing the state of ${at} UTC; retrying.`;
      if (old.textContent !== sentence) old.textContent = sentence;
    }
  };

  const hear = () => { heard = Date.now(); say(); };

  const connect = () => {
    source = new EventSource(address);
    source.addEventListener("patch", (event) => { patch(event.data); hear(); });
    source.addEventListener("beat", (event) => { ahead = Date.now() - Number(event.data); hear(); });
    source.addEventListener("error", () => {
      say();
      // A server that is gone is tried again by the browser; one that refuses is not.
      if (source?.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(() => { if (!source && !document.hidden) connect(); }, AGAIN_MS);
      }
    });
  };

  if (address && window.EventSource && link) {
    // A browser has six connections to a server in all: pages that nobody sees take none.
    const follow = () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else if (!source) {
        heard = Date.now();
        connect();
      }
    };
    follow();
    document.addEventListener("visibilitychange", follow);
    setInterval(() => { if (!document.hidden) say(); }, 1_000);
    addEventListener("pagehide", () => source?.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }
  setInterval(tick, 1_000);

  addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape" && isTyping) event.target.blur();
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      const find = document.getElementById("find");
      if (find) { event.preventDefault(); find.focus(); find.select(); }
    } else if (event.key === "r") {
      document.querySelector("form.refresh")?.requestSubmit();
    }
  });
})();
