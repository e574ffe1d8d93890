"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["green-box", "red-box"];

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // Theme: the system's until the reader chooses.
  const theme = $("theme");
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (value) => {
    try {
      if (value) localStorage.setItem("ivif-theme", value);
      return localStorage.getItem("ivif-theme");
    } catch {
      return value; // some browsers refuse storage to a file
    }
  };
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const showTheme = () => {
    theme.setAttribute("aria-pressed", String(dark()));
    theme.textContent = dark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", dark() ? "Dark theme is on; turn to light" : "Light theme is on; turn to dark");
  };
  if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
  showTheme();
  system.addEventListener("change", showTheme);
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    stored(root.dataset.theme);
    showTheme();
  });

  // Tables: switches and sorting; what is missing stays last in either direction.
  const onSwitch = (id, apply) => {
    if (!$(id)) return;
    $(id).addEventListener("change", () => apply($(id).checked));
    apply($(id).checked);
  };
  onSwitch("show-paper", (on) => document.body.classList.toggle("with-paper", on));
  onSwitch("show-intervals", (on) => document.body.classList.toggle("plain", !on));

  const collator = new Intl.Collator("en", { numeric: true });
  const compare = (kind, sign) => (one, other) => {
    const missing = (one.key === "") - (other.key === "");
    if (missing || one.key === "") return missing;
    return sign * (kind === "number" ? Number(one.key) - Number(other.key) : collator.compare(one.key, other.key));
  };
  const sort = (heading) => {
    const table = heading.closest("table");
    const kind = heading.dataset.kind;
    const column = heading.cellIndex;
    const first = kind === "number" && !("lower" in heading.dataset) ? "descending" : "ascending";
    const now = heading.getAttribute("aria-sort");
    const next = !now ? first : now === "ascending" ? "descending" : "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: row.cells[column].dataset.value ?? "" }));
    rows.sort(compare(kind, next === "ascending" ? 1 : -1));
    body.append(...rows.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", next);
  };
  for (const button of document.querySelectorAll(".sort")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  // A table wider than its place says so.
  const hints = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const box = target.closest(".scroll");
      box.previousElementSibling.hidden = box.scrollWidth <= box.clientWidth;
    }
  });
  for (const box of document.querySelectorAll(".scroll")) {
    hints.observe(box);
    hints.observe(box.querySelector("table"));
  }

  // What a mark of a plot stands for.
  const tip = $("tip");
  const showTip = (event) => {
    const marked = event.target.closest?.("[data-tip]");
    tip.hidden = !marked;
    if (!marked) return;
    tip.textContent = marked.dataset.tip;
    const place = marked.getBoundingClientRect();
    const left = Math.min(place.left + place.width / 2 + 8, innerWidth - tip.offsetWidth - 8);
    const below = place.bottom + 8 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(left, 8)}px`;
    tip.style.top = `${below ? place.bottom + 8 : place.top - tip.offsetHeight - 8}px`;
  };
  for (const kind of ["pointerover", "focusin", "click"]) document.addEventListener(kind, showTip);
  document.addEventListener("scroll", () => (tip.hidden = true), { passive: true });

  // Gallery.
  const blocks = document.querySelectorAll("script.scene");
  if (!blocks.length) return;
  const scenes = new Map();
  const scene = (index) => {
    if (!scenes.has(index)) scenes.set(index, JSON.parse(blocks[index].textContent));
    return scenes.get(index);
  };
  const state = { scene: 0, image: 0, scale: 1, x: 0, y: 0, colour: false };
  const uri = (image) => `data:image/webp;base64,${(state.colour && image.colour) || image.data}`;
  const chooser = $("scene");

  const outlines = (svg, { width, height, zooms }) => {
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.replaceChildren(
      ...zooms.map(([x0, y0, x1, y1], index) => {
        const mark = document.createElementNS(SVG, "rect");
        const values = { class: `zoom ${COLOURS[index]}`, x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
        for (const [name, value] of Object.entries(values)) mark.setAttribute(name, value);
        return mark;
      }),
    );
  };

  const crop = (img, one, [x0, y0, x1, y1], colour, label) => {
    const canvas = element("canvas", { className: colour, width: 320 });
    canvas.height = Math.max(1, Math.round((320 * (y1 - y0)) / (x1 - x0)));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${label}, ${colour.split("-")[0]} place enlarged`);
    const draw = () => {
      const scale = img.naturalWidth / one.width; // the embedded image may be smaller than the original
      const pen = canvas.getContext("2d");
      pen.imageSmoothingQuality = "high";
      const from = [x0, y0, x1 - x0, y1 - y0].map((value) => value * scale);
      pen.drawImage(img, ...from, 0, 0, canvas.width, canvas.height);
    };
    if (img.complete && img.naturalWidth) draw();
    else img.addEventListener("load", draw, { once: true });
    return canvas;
  };

  const figure = (one, image, index) => {
    const made = element("figure", {}, element("figcaption", { textContent: image.label }));
    if (!image.data) {
      made.append(element("p", { className: "absent", textContent: image.missing }));
      return made;
    }
    const img = element("img", { alt: `${image.label}, scene ${one.image}`, width: one.width, height: one.height });
    img.src = uri(image);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("aria-hidden", "true");
    outlines(svg, one);
    const open = element("button", { type: "button", className: "open" }, img, svg);
    open.setAttribute("aria-label", `Enlarge ${image.label}, scene ${one.image}`);
    open.addEventListener("click", () => enlarge(index));
    const crops = one.zooms.map((zoom, place) => crop(img, one, zoom, COLOURS[place], image.label));
    made.append(open, element("div", { className: "crops" }, ...crops));
    return made;
  };

  const showScene = (index) => {
    state.scene = (index + blocks.length) % blocks.length;
    const one = scene(state.scene);
    chooser.value = String(state.scene);
    $("scene-count").textContent = `${state.scene + 1} of ${blocks.length}`;
    $("images").replaceChildren(...one.images.map((image, place) => figure(one, image, place)));
  };
  chooser.addEventListener("change", () => showScene(Number(chooser.value)));
  $("scene-before").addEventListener("click", () => showScene(state.scene - 1));
  $("scene-after").addEventListener("click", () => showScene(state.scene + 1));

  // Viewer: the place and the scale stay while methods and scenes change.
  const viewer = $("viewer");
  const stage = $("stage");
  const sheet = $("sheet");

  const place = () => {
    const limit = (value, size) => Math.min(0, Math.max(value, size - size * state.scale));
    state.x = limit(state.x, sheet.offsetWidth);
    state.y = limit(state.y, sheet.offsetHeight);
    sheet.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.scale})`;
    sheet.style.setProperty("--scale", state.scale);
  };
  const zoomTo = (scale, x, y) => {
    const next = Math.min(12, Math.max(1, scale));
    state.x = x - ((x - state.x) * next) / state.scale;
    state.y = y - ((y - state.y) * next) / state.scale;
    state.scale = next;
    place();
  };
  const zoomBy = (factor) => zoomTo(state.scale * factor, sheet.offsetWidth / 2, sheet.offsetHeight / 2);
  const zoomOnto = (index) => {
    const one = scene(state.scene);
    const zoom = one.zooms[index];
    if (!zoom) return;
    const [x0, y0, x1, y1] = zoom;
    state.scale = Math.min(12, (0.9 * one.width) / (x1 - x0), (0.9 * one.height) / (y1 - y0));
    state.x = sheet.offsetWidth * (0.5 - (state.scale * (x0 + x1)) / 2 / one.width);
    state.y = sheet.offsetHeight * (0.5 - (state.scale * (y0 + y1)) / 2 / one.height);
    place();
  };
  const fit = () => {
    Object.assign(state, { scale: 1, x: 0, y: 0 });
    place();
  };
  const measure = () => {
    const { width, height } = scene(state.scene);
    const factor = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    const before = sheet.offsetWidth;
    sheet.style.width = `${width * factor}px`;
    sheet.style.height = `${height * factor}px`;
    if (before) {
      state.x *= sheet.offsetWidth / before;
      state.y *= sheet.offsetWidth / before;
    }
    place();
  };

  const showImage = (index) => {
    const one = scene(state.scene);
    state.image = (index + one.images.length) % one.images.length;
    const image = one.images[state.image];
    $("viewer-title").textContent = image.label;
    $("viewer-scene").textContent = `${one.dataset}, ${one.image}`;
    $("viewer-missing").textContent = image.data ? "" : image.missing;
    sheet.hidden = !image.data;
    if (image.data) $("viewer-image").src = uri(image);
    $("viewer-image").alt = `${image.label}, scene ${one.image}`;
    outlines($("viewer-boxes"), one);
    $("zoom-green").disabled = !one.zooms[0];
    $("zoom-red").disabled = !one.zooms[1];
    $("viewer-scores").replaceChildren(
      ...Object.entries(image.scores).map(([name, value]) => element("span", {}, `${name} `, element("b", {}, value))),
    );
    const buttons = [...$("labels").children];
    if (buttons.includes(document.activeElement)) buttons[state.image].focus();
    buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === state.image)));
    $("labels").children[state.image].scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
    measure();
  };
  const flick = (step) => showImage(state.image + step);
  $("labels").append(
    ...scene(0).images.map(({ label }, index) => {
      const button = element("button", { type: "button", textContent: label });
      button.addEventListener("click", () => showImage(index));
      return button;
    }),
  );
  const enlarge = (index) => {
    Object.assign(state, { scale: 1, x: 0, y: 0 });
    viewer.showModal();
    showImage(index);
    $("labels").children[index].focus();
  };
  const turn = (step) => {
    showScene(state.scene + step);
    showImage(state.image);
  };

  $("viewer-close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => {
    $("images").children[state.image]?.querySelector("button")?.focus();
  });
  $("flick-before").addEventListener("click", () => flick(-1));
  $("flick-after").addEventListener("click", () => flick(1));
  $("zoom-in").addEventListener("click", () => zoomBy(1.5));
  $("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
  $("zoom-fit").addEventListener("click", fit);
  $("zoom-green").addEventListener("click", () => zoomOnto(0));
  $("zoom-red").addEventListener("click", () => zoomOnto(1));

  // The visible image's chroma on the fused images, where the run wrote them in colour.
  const showColour = (on) => {
    state.colour = on;
    $("show-colour").checked = on;
    $("viewer-colour").setAttribute("aria-pressed", String(on));
    showScene(state.scene);
    if (viewer.open) showImage(state.image);
  };
  const turnColour = () => $("show-colour") && showColour(!state.colour);
  $("viewer-colour")?.addEventListener("click", turnColour);

  addEventListener("resize", () => viewer.open && measure());

  const keys = {
    ArrowLeft: () => flick(-1),
    ArrowRight: () => flick(1),
    ArrowUp: () => turn(-1),
    ArrowDown: () => turn(1),
    "+": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: fit,
    1: () => zoomOnto(0),
    2: () => zoomOnto(1),
    c: turnColour,
  };
  viewer.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const origin = sheet.getBoundingClientRect();
    zoomTo(state.scale * Math.exp(-event.deltaY / 400), event.clientX - origin.left + state.x, event.clientY - origin.top + state.y);
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    const origin = sheet.getBoundingClientRect();
    if (state.scale > 1) fit();
    else zoomTo(3, event.clientX - origin.left, event.clientY - origin.top);
  });

  // One finger drags what is enlarged and swipes what is not; two fingers zoom.
  const fingers = new Map();
  let swipe = null;
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one.x - other.x, one.y - other.y);
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    swipe = fingers.size === 1 ? event.clientX : null;
  });
  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const distance = fingers.size === 2 ? spread() : 0;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2 && distance) {
      const [one, other] = [...fingers.values()];
      const origin = sheet.getBoundingClientRect();
      const middle = [(one.x + other.x) / 2 - origin.left + state.x, (one.y + other.y) / 2 - origin.top + state.y];
      zoomTo((state.scale * spread()) / distance, ...middle);
    } else if (state.scale > 1) {
      state.x += event.clientX - before.x;
      state.y += event.clientY - before.y;
      place();
    }
  });
  const lift = (event) => {
    if (swipe !== null && state.scale === 1 && event.type === "pointerup") {
      const moved = event.clientX - swipe;
      if (Math.abs(moved) > 40) flick(moved < 0 ? 1 : -1);
    }
    fingers.delete(event.pointerId);
    swipe = null;
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);

  // A mark of a plot opens its scene, at its method where the gallery has it.
  const follow = (event) => {
    const mark = event.target.closest?.("[data-scene]");
    if (!mark || (event.type === "keydown" && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    tip.hidden = true;
    showScene(Number(mark.dataset.scene));
    const label = mark.dataset.method;
    const index = scene(state.scene).images.findIndex((image) => image.label === label);
    enlarge(Math.max(index, 0));
  };
  document.addEventListener("click", follow);
  document.addEventListener("keydown", follow);

  showScene(0);
  onSwitch("show-colour", showColour);
})();
