// What a clip's page draws: boxes and hands over the video, and the camera's place on its path from above.
// Both know the clip's data and are told which frame to show; `clip.js` tells them.
"use strict";

const SUBJECT_COLOURS = ["#ffb454", "#5cc8ff", "#ff7d9c", "#8fe388", "#c9a2ff", "#ffe066", "#4de0c6", "#ff9f7a"];
const HAND_COLOURS = { left: "#5cc8ff", right: "#ffb454" };
const isKnown = (value) => value !== null && value !== undefined;

// A function that draws the overlays of a frame, or wipes them away for null; `shows(what)` says whether "boxes" and "hands" are wanted.
function overlayOf(data, canvas, shows) {
  const brush = canvas.getContext("2d");
  let frame = 0;

  function draw(to) {
    frame = to;
    const { clientWidth: width, clientHeight: height } = canvas;
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const scale = Math.min(width / data.width, height / data.height);
    brush.setTransform(dense, 0, 0, dense, 0, 0);
    brush.clearRect(0, 0, width, height);
    if (frame === null) return;
    brush.save();
    brush.translate((width - data.width * scale) / 2, (height - data.height * scale) / 2);
    brush.beginPath();
    brush.rect(0, 0, data.width * scale, data.height * scale);
    brush.clip();
    if (data.subjects && shows("boxes")) {
      const crowded = data.subjects.filter((subject) => subject.boxes[frame - subject.first]).length > 8;
      data.subjects.forEach((subject, s) => drawBox(subject, s, scale, crowded));
    }
    if (data.hands && shows("hands")) drawHands(scale);
    brush.restore();
  }

  function drawBox(subject, s, scale, crowded) {
    const box = subject.boxes[frame - subject.first];
    if (!box) return;
    const [x0, y0, x1, y1] = box.map((value) => value * scale);
    const seen = subject.visibility[frame] || 0;
    const colour = SUBJECT_COLOURS[s % SUBJECT_COLOURS.length];
    brush.setLineDash(seen >= 0.1 ? [] : [5, 4]);
    for (const [ink, thick] of [["rgba(10,16,22,.75)", 4], [colour, 2]]) {
      brush.strokeStyle = ink;
      brush.lineWidth = thick;
      brush.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    brush.setLineDash([]);
    const words = crowded ? `${subject.id}` : `${subject.label.slice(0, 24)} ${subject.id} · ${seen.toFixed(2)}`;
    brush.font = "600 12px system-ui, sans-serif";
    const long = brush.measureText(words).width + 10;
    const left = Math.max(0, Math.min(x0 - 1, data.width * scale - long));
    const top = y0 >= 18 ? y0 - 18 : Math.min(Math.max(y0, 0), data.height * scale - 18);
    brush.fillStyle = colour;
    brush.fillRect(left, top, long, 18);
    brush.fillStyle = "#10181f";
    brush.fillText(words, left + 5, top + 13);
  }

  function drawHands(scale) {
    const pixels = data.hands.pixels[frame];
    if (!pixels) return;
    const at = (j) => (isKnown(pixels[2 * j]) ? [pixels[2 * j] * scale, pixels[2 * j + 1] * scale] : null);
    const colour = (j) => (data.hands.names[j].toLowerCase().startsWith("right") ? HAND_COLOURS.right : HAND_COLOURS.left);
    brush.lineCap = "round";
    for (const [thick, ink] of [[4.5, () => "rgba(10,16,22,.6)"], [2.2, colour]]) {
      brush.lineWidth = thick;
      for (const [a, b] of data.hands.bones) {
        const [from, to] = [at(a), at(b)];
        if (!from || !to) continue;
        brush.strokeStyle = ink(b);
        brush.beginPath();
        brush.moveTo(...from);
        brush.lineTo(...to);
        brush.stroke();
      }
    }
    data.hands.names.forEach((_, j) => {
      const place = at(j);
      if (!place) return;
      brush.fillStyle = colour(j);
      brush.beginPath();
      brush.arc(...place, 2.6, 0, 2 * Math.PI);
      brush.fill();
    });
  }

  return draw;
}

// A function that moves the camera's mark on the drawn path; `pick(frame)` is called with the frame clicked on.
function planOf(data, plan, pick) {
  const marker = {};

  function drawn(tag, kind) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    made.setAttribute("class", kind);
    plan.querySelector("#plan-cursor").append(made);
    return made;
  }

  function prepare() {
    if (data.plan.true) Object.assign(marker, { trueCone: drawn("path", "cone true"), trueDot: drawn("circle", "dot true") });
    Object.assign(marker, { cone: drawn("path", "cone"), dot: drawn("circle", "dot") });
    plan.addEventListener("click", (event) => {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(plan.getScreenCTM().inverse());
      let best = null;
      data.plan.place.forEach((place, i) => {
        if (!isKnown(place[0])) return;
        const away = Math.hypot(place[0] - point.x, place[1] - point.y);
        if (!best || away < best.away - 1e-9) best = { away, i };
      });
      if (best) pick(best.i);
    });
  }

  function place(frame) {
    const half = data.camera ? data.camera.half_view_deg : [30];
    const angle = ((half[half.length > 1 ? frame : 0] || 30) * Math.PI) / 180;
    if (data.plan.true) mark(marker.trueDot, marker.trueCone, data.plan.true[frame], data.plan.true_heading[frame], angle);
    mark(marker.dot, marker.cone, data.plan.place[frame], data.plan.heading[frame], angle);
  }

  function mark(dot, cone, place, heading, angle) {
    const there = place && isKnown(place[0]);
    dot.setAttribute("r", there ? 6 : 0);
    if (there) {
      dot.setAttribute("cx", place[0]);
      dot.setAttribute("cy", place[1]);
    }
    if (!there || !heading || !isKnown(heading[0])) {
      cone.setAttribute("d", "");
      return;
    }
    const [x, y] = place;
    const reach = 46;
    const side = (turn) => [
      x + reach * (heading[0] * Math.cos(turn) - heading[1] * Math.sin(turn)),
      y + reach * (heading[0] * Math.sin(turn) + heading[1] * Math.cos(turn)),
    ].map((value) => value.toFixed(1));
    const wide = angle > Math.PI / 2 ? 1 : 0;
    cone.setAttribute("d", `M${x} ${y}L${side(-angle)}A${reach} ${reach} 0 ${wide} 1 ${side(angle)}Z`);
  }

  prepare();
  return place;
}
