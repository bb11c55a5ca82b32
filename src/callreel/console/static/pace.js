// The chart of a migration's pace. The same numbers stand in the table below it.
const place = document.querySelector("[data-points]");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

/** The area below the line, fading out. */
function fading(chart) {
  const { top, height } = chart.bbox;
  const fill = chart.ctx.createLinearGradient(0, top, 0, top + height);
  fill.addColorStop(0, `${colour("--accent")}44`);
  fill.addColorStop(1, `${colour("--accent")}00`);
  return fill;
}

function draw({ times, counts }) {
  if (times.length === 1) [times, counts] = [[times[0] - 60, ...times], [0, ...counts]]; // a line has two ends
  const ink = colour("--ink-3");
  const line = colour("--line");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px Inter Variable, sans-serif" };
  place.replaceChildren();
  new uPlot(
    {
      width: place.clientWidth,
      height: 220,
      legend: { show: false },
      cursor: { y: false, drag: { x: false } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      axes: [{ ...axis, grid: { show: false }, values: (_, times) => times.map(clock) }, axis],
      scales: { y: { range: (_, least, most) => [0, Math.max(5, most * 1.1)] } },
      series: [{}, { stroke: colour("--accent"), width: 2, fill: fading, points: { show: false } }],
    },
    [times, counts],
    place,
  );
}

async function show() {
  const answer = await fetch(place.dataset.points);
  if (answer.ok) draw(await answer.json());
}

if (place && globalThis.uPlot) {
  await show();
  if (place.dataset.again) setInterval(() => document.hidden || show(), place.dataset.again * 1000);
  let last = place.clientWidth;
  addEventListener("resize", () => {
    if (Math.abs(place.clientWidth - last) < 8) return;
    last = place.clientWidth;
    show();
  });
}
