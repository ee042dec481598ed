"use strict";
// The page is whole without this: it only hides what is not searched for.
(() => {
  const form = document.getElementById("search");
  const box = form.elements.q, only = form.elements.changes, told = form.querySelector("output");
  const OPENED_MAX = 8, MARKED_MAX = 2000;
  const guests = new Map();
  for (const part of document.querySelectorAll("[data-guest]")) {
    const name = part.dataset.guest;
    if (!guests.has(name)) guests.set(name, { parts: [], text: null, changes: false, opened: [] });
    const guest = guests.get(name);
    guest.parts.push(part);
    guest.changes ||= (part.dataset.state ?? "unchanged") !== "unchanged";
  }
  const lower = (part) => part.textContent.toLowerCase();
  const hasAll = (text, words) => words.every((word) => text.includes(word));
  const reset = (guest) => {
    for (const details of guest.opened) details.open = false;
    guest.opened = [];
    for (const part of guest.parts)
      for (const file of part.querySelectorAll(".file[hidden]")) file.hidden = false;
  };
  const open = (guest, details) => {
    if (!details.open) { details.open = true; guest.opened.push(details); }
  };
  // In an opened guest, the files without the words are out of the way when there are others with them.
  const narrow = (guest, words) => {
    for (const part of guest.parts) {
      if (!part.matches("details")) continue;
      const files = [...part.querySelectorAll(".file")];
      const fitting = files.filter((file) => hasAll(lower(file), words));
      if (!hasAll(lower(part), words)) continue;
      open(guest, part);
      if (fitting.length === 0) continue;
      for (const file of files) file.hidden = !fitting.includes(file);
      for (const file of fitting) open(guest, file);
    }
  };
  const mark = (shown, words) => {
    if (!window.Highlight || !CSS.highlights) return;
    CSS.highlights.delete("found");
    const ranges = [];
    const walk = (root) => {
      const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const text = node.data.toLowerCase();
        if (text.length !== node.data.length) continue;
        for (const word of words)
          for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
            if (ranges.length >= MARKED_MAX) return;
            const range = new Range();
            range.setStart(node, at);
            range.setEnd(node, at + word.length);
            ranges.push(range);
          }
      }
    };
    if (words.length > 0)
      for (const guest of shown.slice(0, OPENED_MAX)) guest.parts.forEach(walk);
    if (ranges.length > 0) CSS.highlights.set("found", new Highlight(...ranges));
  };
  const search = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = [];
    for (const guest of guests.values()) {
      reset(guest);
      guest.text ??= guest.parts.map(lower).join("\n");
      const fits = (!only.checked || guest.changes) && hasAll(guest.text, words);
      for (const part of guest.parts) part.hidden = !fits;
      if (fits) shown.push(guest);
    }
    if (words.length > 0 && shown.length <= OPENED_MAX) for (const guest of shown) narrow(guest, words);
    mark(shown, words);
    const some = words.length > 0 || only.checked;
    told.textContent = some ? `${shown.length} of ${guests.size} guests` : "";
  };
  let waiting;
  box.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
  only.addEventListener("change", search);
  form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
    if (event.key === "Escape" && document.activeElement === box) { box.value = ""; search(); }
  });
  // A link into something that is closed opens it.
  const reveal = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = place; part; part = part.parentElement) if (part.matches("details")) part.open = true;
    if (place?.matches("details")) place.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  form.hidden = false;
  // A search that somebody sends as a link: review.html?q=WORDS&changes=on
  const asked = new URLSearchParams(location.search);
  box.value = asked.get("q") ?? "";
  only.checked = asked.has("changes");
  if (box.value || only.checked) search();
  reveal();
})();
