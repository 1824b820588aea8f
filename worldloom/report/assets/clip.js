// The page of one clip: one cursor moves the video, its overlays, the path, the depth map and the timeline.
// What it draws stands in clip_drawing.js. Frame i is shown from i / fps to (i + 1) / fps; seeking goes to the middle of a frame, so that rounding never shows
// its neighbour. Nothing is loaded but the video; all values come from the JSON block of the page, as text.
"use strict";

(() => {
  const one = (id) => document.getElementById(id);
  const data = JSON.parse(one("clip-data").textContent);
  const { fps, frames } = data;
  const last = frames - 1;
  const DIRECTIONS = [[0, 0], [0, 1], [0, -1], [-1, 0], [1, 0], [-1, 1], [1, 1], [-1, -1], [1, -1]];

  let video = one("video");
  let still = one("still");
  let frame = 0;
  let playing = false;
  let speed = 1;
  let wanted = null; // a seek that waits for the one under way
  let presented = null; // the frame of the video on the screen, where the browser tells

  document.documentElement.classList.add("scripted");

  // --- which frame ---------------------------------------------------------------------------------------------------
  const mapped = Array.isArray(data.video.map);
  const inFile = (i) => (mapped ? data.video.map[i] : data.video.map + i);
  const clamp = (i) => Math.min(last, Math.max(0, i));
  const secondsOf = (i) => i / fps;
  const frameAt = (seconds) => clamp(Math.floor(seconds * fps + 0.05)); // addresses carry three decimals

  function seek(to) {
    frame = clamp(to);
    if (video) show(inFile(frame));
    update();
    remember();
  }

  function show(number) {
    if (video.seeking) {
      wanted = number;
      return;
    }
    wanted = null;
    video.currentTime = (number + 0.5) / fps;
  }

  function play() {
    if (playing || frames < 2) return;
    if (frame === last) seek(0);
    playing = true;
    if (video && !mapped) {
      video.playbackRate = speed;
      video.play().then(follow, pause);
    } else {
      const from = frame;
      const began = performance.now();
      const step = (now) => {
        if (!playing) return;
        const next = from + Math.floor(((now - began) / 1000) * fps * speed);
        if (next !== frame) {
          frame = clamp(next);
          if (video) show(inFile(frame));
          update();
        }
        if (frame === last) pause();
        else requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    }
    buttons();
  }

  function pause() {
    playing = false;
    if (video && !mapped && !video.paused) {
      video.pause();
      show(inFile(frame));
    }
    buttons();
    remember();
  }

  // Told of every picture that reaches the screen: while playing, it says which frame it is.
  function watch() {
    if (!video) return;
    const tell = (fileFrame) => {
      presented = fileFrame;
      if (playing && !mapped) arrive(fileFrame - data.video.map);
      else draw();
    };
    video.requestVideoFrameCallback((_, about) => {
      tell(Math.round(about.mediaTime * fps));
      watch();
    });
  }

  function arrive(at) {
    frame = clamp(at);
    update();
    if (frame === last || video.ended) pause();
  }

  function follow() {
    if (video.requestVideoFrameCallback) return; // `watch` does it
    const step = () => {
      if (!playing) return;
      arrive(Math.floor(video.currentTime * fps + 0.01) - data.video.map);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  function withoutVideo(why) {
    if (!video) return;
    playing = false;
    const film = filmPictures();
    still = document.createElement(film.length ? "img" : "div");
    still.id = "still";
    if (film.length) {
      still.alt = "a picture of the clip";
      still.width = data.width;
      still.height = data.height;
    } else still.className = "no-picture";
    video.replaceWith(still);
    video = null;
    const trouble = one("trouble");
    trouble.textContent = why;
    trouble.hidden = false;
    update();
  }

  const shows = (what) => !one(`show-${what}`) || one(`show-${what}`).checked;
  const drawFrame = overlayOf(data, one("overlay"), shows);
  // Never boxes of one frame on the picture of another: while a slow seek lasts there are none.
  const draw = () => drawFrame(video && presented !== null && presented !== inFile(frame) ? null : frame);
  const place = one("plan") && planOf(data, one("plan"), (to) => (pause(), seek(to)));
  const filmPictures = () => [...document.querySelectorAll(".film img")];

  // --- what moves with the cursor ------------------------------------------------------------------------------------
  const rows = one("rows");
  const readout = one("readout");
  const maps = [...document.querySelectorAll("#maps > li")];

  function update() {
    rows.style.setProperty("--at", (frame + 0.5) / frames);
    rows.setAttribute("aria-valuenow", frame);
    rows.setAttribute("aria-valuetext", `frame ${frame}, ${secondsOf(frame).toFixed(2)} seconds`);
    one("now").textContent = `frame ${frame} of ${last} · ${secondsOf(frame).toFixed(3)} s`;
    if (!video && still && still.tagName === "IMG") {
      const film = filmPictures();
      const picture = film[Math.min(film.length - 1, Math.floor((frame * film.length) / frames))];
      if (picture && still.src !== picture.src) still.src = picture.src;
    }
    nearestMap();
    if (place) place(frame);
    press("pad-move", data.actions ? data.actions.move[frame] : data.truth && data.truth.move[frame]);
    press("pad-view", data.actions ? data.actions.view[frame] : data.truth && data.truth.view[frame]);
    say();
    draw();
    keepInSight();
  }

  function nearestMap() {
    if (!maps.length) return;
    let best = 0;
    data.depth.forEach((at, i) => {
      if (Math.abs(at - frame) < Math.abs(data.depth[best] - frame)) best = i;
    });
    maps.forEach((item, i) => item.classList.toggle("current", i === best));
  }

  function press(id, action) {
    const pad = one(id);
    if (!pad) return;
    pad.classList.toggle("unsure", action === 9);
    const [x, y] = DIRECTIONS[action] || [0, 0];
    for (const key of pad.children) {
      const held = (Number(key.dataset.x) === x && x !== 0) || (Number(key.dataset.y) === y && y !== 0);
      key.classList.toggle("pressed", held);
    }
  }

  const known = isKnown;
  const figure = (value, digits = 2) => (known(value) ? value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1") : "–");

  // Lines of [name, value] about a frame; short ones for the tooltip.
  function about(i, short) {
    const lines = [];
    if (data.actions) {
      const { move, view, margins, motion, unit } = data.actions;
      const truth = (group) => (data.truth && data.truth[group][i] !== data.actions[group][i]
        ? `, truth ${data[`${group}s`][data.truth[group][i]]}` : "");
      const margin = (k) => (known(margins[i][k]) ? `, margin ${figure(margins[i][k])}` : "");
      lines.push(["move", `${data.arrows[move[i]]} ${data.moves[move[i]]}${margin(0)}${truth("move")}`]);
      lines.push(["view", `${data.arrows[view[i]]} ${data.views[view[i]]}${margin(1)}${truth("view")}`]);
      if (!short && motion[i].some(known)) {
        lines.push(["speed", `${figure(motion[i][1])} ahead, ${figure(motion[i][0])} right (${unit})`]);
        lines.push(["turning", `${figure(motion[i][2], 1)} right, ${figure(motion[i][3], 1)} up (deg/s)`]);
      }
    } else if (data.truth) {
      lines.push(["true move", data.moves[data.truth.move[i]]], ["true view", data.views[data.truth.view[i]]]);
    }
    if (data.camera) {
      const { position, confidence, group, scale } = data.camera;
      const where = position[i] && known(position[i][0]);
      lines.push(["pose", where ? `confidence ${figure(confidence[i])}${group ? `, group ${group[i]}` : ""}` : "none"]);
      if (!short && where) {
        const unit = scale === "metric" ? " m" : "";
        lines.push(["position", `${position[i].map((value) => figure(value)).join(", ")}${unit}`]);
      }
    }
    if (data.subjects) {
      const seen = data.subjects.filter((subject) => (subject.visibility[i] || 0) > 0);
      const named = seen.slice(0, short ? 3 : 6).map((s) => `${s.label} ${s.id} ${figure(s.visibility[i])}`);
      const more = seen.length > named.length ? ` and ${seen.length - named.length} more` : "";
      if (data.subjects.length) lines.push(["in sight", named.length ? named.join(", ") + more : "nobody"]);
    }
    if (data.hands && !short) lines.push(["hands", `confidence ${figure(data.hands.confidence[i])}`]);
    if (data.revisits) {
      const partners = data.revisits.pairs.filter((pair) => pair[0] === i || pair[1] === i);
      const others = partners.slice(0, 4).map((pair) => (pair[0] === i ? pair[1] : pair[0]));
      if (partners.length) lines.push(["revisits", `frames ${others.join(", ")}${partners.length > 4 ? " …" : ""}`]);
    }
    if (!short && known(data.source_s[i])) lines.push(["source time", `${data.source_s[i].toFixed(3)} s`]);
    return lines;
  }

  function say() {
    readout.replaceChildren(...about(frame, false).flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]));
  }

  function cell(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  // --- the timeline --------------------------------------------------------------------------------------------------
  const scroller = one("scroller");
  const tip = one("tip");
  const ghost = one("ghost");
  const plot = rows.querySelector(".plot");

  function frameUnder(event) {
    const box = plot.getBoundingClientRect();
    return clamp(Math.floor(((event.clientX - box.left) / box.width) * frames));
  }

  function keepInSight() {
    if (scroller.scrollWidth <= scroller.clientWidth + 1) return;
    const box = plot.getBoundingClientRect();
    const view = scroller.getBoundingClientRect();
    const at = box.left + ((frame + 0.5) / frames) * box.width;
    const label = box.left - rows.getBoundingClientRect().left;
    if (at < view.left + label + 8 || at > view.right - 8)
      scroller.scrollLeft += at - (view.left + label + (view.width - label) / 3);
  }

  function prepareTimeline() {
    // The tooltip says what the bars say; the browser's own would come on top of it.
    rows.querySelectorAll(".plot title").forEach((title) => {
      title.parentElement.dataset.says = title.textContent;
      title.remove();
    });
    rows.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest(".label")) return;
      rows.setPointerCapture(event.pointerId);
      pause();
      seek(frameUnder(event));
    });
    rows.addEventListener("pointermove", (event) => {
      if (rows.hasPointerCapture(event.pointerId)) seek(frameUnder(event));
      hover(event);
    });
    for (const gone of ["pointerleave", "pointercancel"])
      rows.addEventListener(gone, () => {
        tip.hidden = true;
        ghost.hidden = true;
      });
    for (const button of document.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => {
        rows.style.setProperty("--zoom", button.dataset.zoom);
        for (const other of document.querySelectorAll("[data-zoom]"))
          other.setAttribute("aria-pressed", String(other === button));
        keepInSight();
      });
  }

  function hover(event) {
    if (event.target.closest(".label") || event.pointerType === "touch") {
      tip.hidden = true;
      ghost.hidden = true;
      return;
    }
    const i = frameUnder(event);
    const says = event.target.closest("[data-says]");
    ghost.hidden = false;
    rows.style.setProperty("--ghost", (i + 0.5) / frames);
    const lines = about(i, true).flatMap(([name, value]) => [cell("dt", name), cell("dd", value)]);
    const list = document.createElement("dl");
    list.append(...lines);
    tip.replaceChildren(cell("b", `frame ${i} · ${secondsOf(i).toFixed(2)} s`), list);
    if (says) tip.append(cell("p", says.dataset.says));
    tip.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = event.clientX + 16 + width > window.innerWidth ? event.clientX - 16 - width : event.clientX + 16;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 18, window.innerHeight - height - 8))}px`;
  }

  // --- keys, buttons, address ----------------------------------------------------------------------------------------
  const second = Math.max(1, Math.round(fps));
  const actions = {
    first: () => seek(0), last: () => seek(last), back: () => seek(frame - 1), ahead: () => seek(frame + 1),
    play: () => (playing ? pause() : play()),
  };

  function act(name) {
    if (name !== "play" && playing) pause();
    actions[name]();
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.closest("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === " " && at.closest("button, a, summary, input")) return;
    const step = event.shiftKey ? second : 1;
    if (event.key === " ") act("play");
    else if (event.key === "ArrowLeft") (pause(), seek(frame - step));
    else if (event.key === "ArrowRight") (pause(), seek(frame + step));
    else if (event.key === "Home") act("first");
    else if (event.key === "End") act("last");
    else return;
    event.preventDefault();
  }

  function buttons() {
    const button = one("play");
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-label", playing ? "pause" : "play");
  }

  let remembered = 0;
  function remember() {
    clearTimeout(remembered);
    remembered = setTimeout(() => {
      const hash = `#t=${secondsOf(frame).toFixed(3)}`;
      if (location.hash !== hash) history.replaceState(null, "", hash);
    }, 250);
  }

  function fromAddress() {
    const found = /[#&]t=([0-9]+(?:\.[0-9]+)?)/.exec(location.hash);
    return found ? frameAt(Number(found[1])) : null;
  }

  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", () => {
    const to = fromAddress();
    if (to === null || to === frame) return;
    pause();
    seek(to);
  });
  for (const button of document.querySelectorAll("[data-do]"))
    button.addEventListener("click", () => act(button.dataset.do));
  one("speed").addEventListener("change", (event) => {
    const again = playing;
    pause();
    speed = Number(event.target.value);
    if (again) play();
  });
  for (const id of ["show-boxes", "show-hands"]) if (one(id)) one(id).addEventListener("change", draw);
  new ResizeObserver(draw).observe(one("stage"));

  if (video) {
    video.controls = false;
    video.addEventListener("click", () => act("play"));
    video.addEventListener("ended", () => {
      if (!mapped) pause(); // a mere seek to the last frame ends a video too
    });
    video.addEventListener("seeked", () => {
      if (wanted !== null) show(wanted);
    });
    if (video.requestVideoFrameCallback) watch();
    const failed = () => withoutVideo("the video cannot be played here; the film strip stands in");
    video.addEventListener("error", failed);
    if (video.error) failed();
  }
  prepareTimeline();
  const start = fromAddress() ?? 0;
  if (video && video.readyState < 1) video.addEventListener("loadedmetadata", () => seek(frame), { once: true });
  frame = start;
  if (video && video.readyState >= 1) show(inFile(frame));
  update();
  buttons();
})();
