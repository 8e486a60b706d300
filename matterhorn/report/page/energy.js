/* Three digits and a prefix, as in the terminal. */
function eng(value, unit = "J") {
  if (value === 0) return `0 ${unit}`;
  for (const [prefix, scale] of [["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9], ["p", 1e-12], ["f", 1e-15]]) {
    if (Math.abs(value) >= scale) return `${(value / scale).toPrecision(3).replace(/\.$/, "")} ${prefix}${unit}`;
  }
  return `${value} ${unit}`;
}
const times = (ratio) => `${ratio.toFixed(2)}×`;
const between = ([low, high], text) => `${text(low)} to ${text(high)}`;
const square = (area) => String(Number((area * 1e6).toPrecision(3)));
const sum = (values) => values.reduce((a, b) => a + b, 0);
const codeName = (e) => `${D.words[e.code]} · ${D.arrays[e.hardware]}`;
const score = (e) => (!e.trained ? "not trained so" : A.accuracy === null ? "–" : (100 * A.accuracy).toFixed(1));
const GREY = "#8b98a5", OTHER = "#5c7c99";

/* An energy axis: ticks in one engineering unit. */
function joules(largest) {
  const [prefix, scale] = [["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9], ["p", 1e-12]].find(([, s]) => largest >= s) || ["f", 1e-15];
  return { scale, title: `${prefix}J a sentence` };
}

/* Horizontal bars of energy with their figures written beside them. */
function bars(id, names, values, colors) {
  const axis = joules(Math.max(...values));
  draw(id, [{
    type: "bar", orientation: "h", y: names, x: values.map((v) => v / axis.scale), text: values.map((v) => eng(v)), textposition: "auto",
    cliponaxis: false, marker: { color: colors },
  }], { yaxis: { autorange: "reversed" }, xaxis: { title: { text: axis.title }, rangemode: "tozero" }, margin: { b: 46 } });
}

function table(id, head, rows) {
  const cell = (tag, text, number) => `<${tag}${number ? " class=n" : ""}>${safe(text)}</${tag}>`;
  const line = (tag, cells) => `<tr>${cells.map((text, i) => cell(tag, text, head[i][0] === "#")).join("")}</tr>`;
  el(id).innerHTML = line("th", head.map((name) => name.replace("#", ""))) + rows.map((row) => line("td", row)).join("");
}

function header() {
  el("headline").textContent = eng(A.per_sentence_j);
  const rows = A.data || A.task, data = !rows || rows === A.model ? "" : ` of ${rows}`;
  el("subtitle").textContent = `${between(A.interval.total_j, (v) => eng(v / A.n))} in 90 % of draws. ${A.model}, ${A.n} sentences${data}, ` +
    `${(A.tokens / A.n).toFixed(1)} tokens each, on ${A.chip}: ${D.chip_title}.`;
  const movement = (A.by_category.spike_movement + A.by_category.dense_movement) / A.total_j, W = A.worst_chip;
  const cards = [
    [times(A.ratio_min), `at least this much would a spiking rival draw (${safe(A.ratio_min_rival)}; ${between(A.interval.ratio_min, times)}): BERT-base, same chip, each on its cheapest arrays. The paper says ${times(A.paper.ratio)}, most likely against ${safe(A.paper.rival)}`, "rival"],
    [times(A.ratio_dense), `this much would a dense network of the same bits draw there (${between(A.interval.ratio_dense, times)})`, "dense"],
    [`${times(W.ratio_min)}, ${times(W.ratio_dense)}`, `the same two on the worst of the chips that ship (${safe(W.ratio_min_chip)}, ${safe(W.ratio_dense_chip)})`, "worst"],
    [percent(A.silent_share), `of neuron-windows are silent, <i id="card-quiet">${percent(A.quiet_share)}</i> of synapses quiet`, "silent"],
    [percent(movement), "of the energy moves data", "movement"],
    [eng(A.per_token_j), `a token, ${eng(A.per_synaptic_operation_j)} a synaptic operation`, "token"],
    [eng(A.latency_s / A.n, "s"), `a sentence, at ${eng(A.power_w, "W")}`, "latency"],
    [`${square(A.area_m2)} mm²`, "of arrays and cores", "area"],
  ];
  el("cards").innerHTML = cards.map(([big, text, id]) => `<div><b id="card-${id}">${big}</b><span>${text}</span></div>`).join("");
  el("verdict").innerHTML = A.verdict.map((s) => `<li>${safe(s)}</li>`).join("");
  el("notes").innerHTML = Object.values(A.notes).map((s) => `<li>${safe(s)}</li>`).join("");
  el("waterfall-note").textContent = `BERT-base, ${A.bert_base_tokens} tokens. Digital arrays, until synapse units replace them. Grey: not trained so.`;
  el("measured").textContent = D.measured.join(" ");
  el("sure").textContent = `All numbers of the chip but sizes, and the rivals' spikes, drawn ${A.draws} times between their bounds: ours costs less than every spiking ` +
    `rival in ${percent(A.wins.spiking)} of the draws, and less than the dense network in ${percent(A.wins.dense)}.`;
}

function slider() {
  const k = el("k").value;
  const name = `mttfs-k${k}${el("per-neuron").checked ? "-neuron" : ""}`;
  const hardware = el("msu").checked ? "msu" : "digital";
  const find = (code) => A.encodings.find((e) => e.code === code && e.hardware === hardware);
  const chosen = find(name), dense = find("dense");
  el("k-value").textContent = k;
  el("slider-energy").textContent = eng(chosen.total_j / A.n);
  el("slider-silent").textContent = percent(chosen.silent_share);
  el("slider-quiet").textContent = percent(chosen.quiet_share);
  el("slider-gain").textContent = times(dense.total_j / chosen.total_j);
  el("slider-score").textContent = score(chosen);
  const shown = [find("rate"), find("ttfs"), dense, chosen];
  bars("slider-chart", shown.map((e) => D.words[e.code]), shown.map((e) => e.total_j / A.n), shown.map((e) => (e.trained ? css("--accent") : GREY)));
  const z = D.silence[name];
  draw("silence", [{
    type: "heatmap", z, x: D.connections.map((name) => (D.names[name] || name).replaceAll(" ", "<br>")), y: z.map((_, i) => `block ${i}`), zmin: 0, zmax: 1, xgap: 3, ygap: 3, showscale: false,
    colorscale: [[0, "#fff3e6"], [0.5, "#f6a13c"], [0.85, "#3b6fb6"], [1, "#12263a"]],
    text: z.map((row, i) => row.map((v, j) => `${(100 * v).toFixed(0)}/${(100 * D.quiet[name][i][j]).toFixed(0)}`)), texttemplate: "%{text}",
  }], { yaxis: { autorange: "reversed" }, margin: { b: 64 } });
}

/* Stacked bars: rows of [name, energy by category, opacity]. */
function stacked(id, legend, rows) {
  const axis = joules(Math.max(...rows.map((r) => sum(Object.values(r[1])))));
  const of = (part, row) => sum(part.of.map((category) => row[1][category] || 0));
  const used = D.parts.filter((part) => rows.some((row) => of(part, row) > 0));
  el(legend).innerHTML = used.map((p) => `<span><i style="background:${p.color}"></i>${p.name}</span>`).join("");
  const last = used.length - 1;
  draw(id, used.map((part, i) => ({
    type: "bar", orientation: "h", marker: { color: part.color, opacity: rows.map((r) => r[2]) }, y: rows.map((r) => r[0]),
    x: rows.map((r) => of(part, r) / axis.scale), cliponaxis: false, textposition: "outside",
    text: i === last ? rows.map((r) => eng(sum(Object.values(r[1])))) : undefined,
  })), { barmode: "stack", bargap: 0.25, xaxis: { title: { text: axis.title } }, yaxis: { autorange: "reversed" }, margin: { b: 46, r: 62 } });
}

const perSentence = (lines) => Object.fromEntries(Object.entries(lines).map(([name, v]) => [name, v / A.n]));
const goes = () => stacked("goes", "goes-legend", Object.entries(D.goes).map(([name, lines]) => [name, perSentence(lines), 1]));

function bills() {
  const sorted = [...A.encodings].sort((a, b) => a.total_j - b.total_j);
  const shown = sorted.filter((e) => e.total_j < 4 * sorted[Math.floor(sorted.length / 2)].total_j);
  const off = sorted.filter((e) => !shown.includes(e));
  el("off-chart").textContent = off.length ? `Off the chart: ${off.map((e) => `${codeName(e)} ${eng(e.total_j / A.n)}`).join(", ")}.` : "";
  stacked("bills", "legend", shown.map((e) => [codeName(e), perSentence(e.by_category), e.trained ? 1 : 0.4]));
  table("code-table", ["code", "arrays", "#a sentence", "score", ...D.parts.map((p) => `#${p.name}`)], sorted.map((e) =>
    [D.words[e.code], D.arrays[e.hardware], eng(e.total_j / A.n), score(e), ...D.parts.map((p) => eng(sum(p.of.map((c) => e.by_category[c])) / A.n))]));
}

function weights() {
  const band = Object.entries(A.weight_band_j);
  bars("weights", band.map(([name]) => D.memories[name]), band.map(([, v]) => v / A.n), css("--accent"));
}

const honesty = () => bars("honesty", ["additions on this chip", "additions at the customary fp32 price", "the full bill"],
  [A.accumulate_only_j, A.customary_j, A.total_j].map((v) => v / A.n), ["#3b6fb6", GREY, css("--accent")]);

function waterfall() {
  const steps = A.waterfall, axis = joules(steps[0].total_j), last = steps.at(-1);
  const base = steps.map((s, i) => (i ? Math.min(s.total_j, steps[i - 1].total_j) : 0) / axis.scale);
  const size = steps.map((s, i) => Math.abs(s.total_j - (i ? steps[i - 1].total_j : 0)) / axis.scale);
  const color = (s, i) => (!s.trained ? GREY : s.total_j < steps[i - 1].total_j ? "#2b8a3e" : "#c92a2a");
  draw("waterfall", [{
    type: "bar", x: [...steps.map((s) => s.step), "this network"], y: [...size, last.total_j / axis.scale], base: [...base, 0],
    textposition: "outside", cliponaxis: false, marker: { color: [...steps.map(color), css("--accent")] },
    text: [...steps.map((s, i) => (i ? times(steps[i - 1].total_j / s.total_j) : eng(s.total_j))), eng(last.total_j)],
  }], { yaxis: { title: { text: axis.title } }, margin: { t: 26, b: 60 } });
}

function rivals() {
  const best = { name: "this network", total_j: A.bert_base_per_sentence_j, times_ours: 1, accuracy: A.accuracy, hardware: A.bert_base_hardware,
    latency_s: A.bert_base_latency_s, area_m2: A.bert_base_area_m2, energy_delay_times_ours: 1, at_equal_accuracy: null, published_mj: null };
  const all = [best, A.dense, ...[...A.rivals].sort((a, b) => a.total_j - b.total_j)];
  const known = (value, text) => (value === null ? "–" : text(value));
  const axis = joules(Math.max(...all.map((r) => r.total_j)));
  draw("rivals", [{
    type: "scatter", mode: "markers+text", x: all.map((r) => r.total_j / axis.scale), y: all.map((r) => r.name), textposition: "middle right", cliponaxis: false,
    text: all.map((r) => ` ${r === best ? eng(r.total_j) : times(r.times_ours)}`), marker: { size: 13, color: all.map((r) => (r === best ? css("--accent") : OTHER)) },
  }], { xaxis: { title: { text: `${axis.title}, logarithmic` }, type: "log" }, yaxis: { autorange: "reversed", type: "category" }, margin: { b: 46, r: 70 } });
  table("rival-table", ["network", "#times ours", "#on this chip", "#score", "at equal drop", "arrays", "#latency", "#mm²", "#energy × delay, equal area", "#layers", "#time steps",
    "#spikes a window", "#published, all blocks", "spikes from"], all.map((r) => [r.name, times(r.times_ours), eng(r.total_j), r === A.dense ? "not measured" : known(r.accuracy, (v) => (100 * v).toFixed(1)),
    known(r.at_equal_accuracy, (v) => (v ? "yes" : "no")), D.arrays[r.hardware], known(r.latency_s, (v) => eng(v, "s")), known(r.area_m2, square), known(r.energy_delay_times_ours, times), r.layers ?? "", r.steps ?? "", r.spikes_per_window ?? "",
    known(r.published_mj, (v) => `${v.toPrecision(3)} mJ`), r === A.dense ? "none: words" : r.sources ? r.sources.spikes : "its trace"]));
}

function front() {
  const shown = D.front.filter((p) => p.drawn_at !== null), line = shown.filter((p) => p.on_front);
  if (!shown.length) return el("front-part")?.remove();
  const axis = joules(Math.max(...shown.map((p) => p.joules))), colors = { spiking: css("--accent"), dense: "#d08a1c", rival: OTHER };
  draw("front", [
    { type: "scatter", mode: "lines", x: line.map((p) => p.joules / axis.scale), y: line.map((p) => p.drawn_at), line: { shape: "hv", width: 1, color: css("--soft") } },
    { type: "scatter", mode: "markers+text", x: shown.map((p) => p.joules / axis.scale), y: shown.map((p) => p.drawn_at), cliponaxis: false,
      text: shown.map((p) => p.name + (p.value === null ? " ?" : "")), textposition: shown.map((p) => (p.kind !== "dense" ? "top right" : p.value === null && p.name.endsWith("int8") ? "top center" : "bottom right")),
      marker: { size: 11, symbol: shown.map((p) => (p.trained ? "circle" : "circle-open")), color: shown.map((p) => colors[p.kind]) } },
  ], { xaxis: { title: { text: `${axis.title}, logarithmic` }, type: "log" }, yaxis: { title: { text: "score" } }, margin: { b: 46, r: 110 } });
}

function sure() {
  const rows = [[`cheapest rival, ${A.ratio_min_rival}`, A.ratio_min, A.interval.ratio_min], ["dense network", A.ratio_dense, A.interval.ratio_dense]];
  const names = rows.map((r) => r[0]);
  draw("intervals", [{
    type: "scatter", mode: "markers+text", y: names, x: rows.map((r) => r[1]), text: rows.map((r) => `${times(r[1])} (${between(r[2], times)})`), textposition: "top center",
    marker: { color: css("--accent"), size: 11 }, cliponaxis: false,
    error_x: { type: "data", symmetric: false, array: rows.map((r) => r[2][1] - r[1]), arrayminus: rows.map((r) => r[1] - r[2][0]), color: css("--accent"), thickness: 3, width: 7 },
  }], { xaxis: { title: { text: "times ours, 5 to 95 % of draws" }, rangemode: "tozero" }, yaxis: { autorange: "reversed", type: "category", range: [-0.7, 1.5] },
    shapes: [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { color: css("--soft"), dash: "dot" } }], margin: { b: 46, t: 24, r: 60 } });
  drivers("drivers-total", A.drivers.total_j);
  drivers("drivers-ratio", A.drivers.ratio_min);
}

/* Rank correlations of the numbers that stand out of chance. */
function drivers(id, rows) {
  const shown = rows.slice(0, 8);
  draw(id, [{ type: "bar", orientation: "h", y: shown.map((d) => D.numbers[d.key]), x: shown.map((d) => d.rank), text: shown.map((d) => d.rank.toFixed(2)),
    textposition: "auto", cliponaxis: false, marker: { color: OTHER } }], { yaxis: { autorange: "reversed" }, margin: { b: 30 } });
}

function tornado() {
  const change = (r, side) => 100 * (r[side] / A.total_j - 1);
  const bar = (side, color) => ({
    type: "bar", orientation: "h", y: A.tornado.map((r) => D.numbers[r.key]), x: A.tornado.map((r) => change(r, side)), marker: { color },
    text: A.tornado.map((r) => `${change(r, side) > 0 ? "+" : "−"}${Math.abs(change(r, side)).toFixed(1)} %`), textposition: "outside", cliponaxis: false,
  });
  const widest = 1.35 * Math.max(...A.tornado.map((r) => Math.max(Math.abs(change(r, "low_j")), Math.abs(change(r, "high_j")))));
  draw("tornado", [bar("low_j", "#2b8a3e"), bar("high_j", "#c92a2a")],
    { barmode: "overlay", xaxis: { ticksuffix: " %", range: [-widest, widest] }, yaxis: { autorange: "reversed" }, margin: { b: 30 } });
}

function mesh() {
  const M = D.mesh, axis = joules(Math.max(...M.joules.flat()));
  draw("mesh", [{
    type: "heatmap", z: M.joules.map((row, y) => row.map((v, x) => (M.used[y][x] ? v / axis.scale : null))), xgap: 1, ygap: 1,
    colorscale: [[0, "#13293d"], [0.25, "#7b2d26"], [0.6, "#e8590c"], [1, "#ffe8a3"]],
    colorbar: { thickness: 12, orientation: "h", y: -0.12, yanchor: "top", title: { text: axis.title, side: "bottom" } },
  }], {
    xaxis: { showgrid: false, constrain: "domain", visible: false }, yaxis: { autorange: "reversed", scaleanchor: "x", showgrid: false, constrain: "domain", visible: false }, margin: { b: 70 },
    annotations: M.names.map((n) => ({ x: n.x, y: n.y, text: n.name, showarrow: false, font: { color: "#fff", size: phone() ? 10 : 12 }, bgcolor: "rgba(10,16,23,.6)", borderpad: 2 })),
  });
}

function breakEven(id, z, y, title, suffix, own) {
  const names = y.map((v) => `${v}${suffix}`), common = { x: D.silences, y: names, z: z.map((row) => row.map((v) => Math.log10(v))) };
  draw(id, [
    { ...common, type: "heatmap", zmin: -1, zmax: 1, zsmooth: false, colorscale: [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]],
      colorbar: { thickness: 10, orientation: "h", y: -0.3, yanchor: "top", tickvals: [-1, -0.301, 0, 0.301, 1], ticktext: ["0.1×", "0.5×", "1×", "2×", "10×"] } },
    { ...common, type: "contour", contours: { coloring: "none", start: 0, end: 0, size: 1 }, line: { color: "#111", width: 2.5 }, showscale: false },
    { type: "scatter", mode: "markers+text", x: [A.silent_share], y: [`${own}${suffix}`], text: ["this network"], textposition: "top left", textfont: { color: "#111" },
      marker: { symbol: "star", size: 15, color: "#ffd43b", line: { color: "#111", width: 1.5 } } },
  ], { xaxis: { title: { text: "silent share" }, tickformat: ".0%" }, yaxis: { title: { text: title }, type: "category" }, margin: { b: 90 } });
}

function tables() {
  table("lines", ["connection or step", "#a sentence", "#share"], Object.entries(A.by_connection).sort((a, b) => b[1] - a[1]).map(([name, v]) =>
    [D.lines[name], eng(v / A.n), percent(v / A.total_j, 2)]));
  el("about").textContent = D.chip_about;
  table("numbers", ["key", "#value", "source"], D.chip.map((q) => [q.key, q.value, q.source]));
}

function everything() {
  goes(); slider(); bills(); weights(); honesty(); waterfall(); rivals(); front(); sure(); mesh(); tornado();
  breakEven("map-hops", D.break_even_hops, D.hop_factors, "hop energy, times the chip's", "×", 1);
  breakEven("map-lengths", D.break_even_lengths, D.lengths, "tokens", "", A.bert_base_tokens);
}

header();
tables();
el("k").max = Math.max(...Object.keys(D.silence).map((name) => name.match(/k(\d+)/)[1]));
el("k").value = A.code.match(/k(\d+)/)[1];
el("per-neuron").checked = A.code.endsWith("-neuron");
el("msu").checked = A.hardware === "msu";
el("msu-switch").hidden = A.hardware !== "msu";
for (const id of ["k", "per-neuron", "msu"]) el(id).addEventListener("input", slider);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", everything);
everything();
document.documentElement.dataset.ready = "yes";
