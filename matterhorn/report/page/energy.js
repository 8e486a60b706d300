/* Three digits and a prefix, as in the terminal. */
function eng(value, unit = "J") {
  if (value === 0) return `0 ${unit}`;
  for (const [prefix, scale] of [["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9], ["p", 1e-12], ["f", 1e-15]]) {
    if (Math.abs(value) >= scale) return `${(value / scale).toPrecision(3).replace(/\.$/, "")} ${prefix}${unit}`;
  }
  return `${value} ${unit}`;
}
const times = (ratio) => `${ratio.toFixed(2)}×`;

const COLORS = {
  computing: "#3b6fb6", spike_movement: "#e8590c", dense_movement: "#f6a13c", weight_access: "#c92a2a", kv_write: "#e599c4",
  kv_read: "#d6589a", msu_conduction: "#2b8a3e", msu_row_drivers: "#51cf66", msu_integrator: "#74c69d",
  msu_comparator: "#a7d7b8", msu_readout: "#c7e8d2", msu_control: "#187a6b", neuron_state: "#7950f2", thresholds: "#b197fc",
  digital_functions: "#5c7c99", leakage: "#9aa5b1",
};
const pretty = (name) => name.replaceAll("_", " ").replace("msu", "MSU").replace("kv", "KV");
const codeName = (e) => `${e.code.replace("-neuron", "ₙ")} · ${e.hardware === "msu" ? "MSU" : "digital"}`;

/* An energy axis: ticks in one engineering unit. */
function joules(largest) {
  const [prefix, scale] = [["", 1], ["m", 1e-3], ["µ", 1e-6], ["n", 1e-9], ["p", 1e-12]].find(([, s]) => largest >= s) || ["f", 1e-15];
  return { scale, title: `${prefix}J a sentence` };
}

function header() {
  el("headline").textContent = eng(A.per_sentence_j);
  const data = A.task === A.model ? "" : ` of ${A.task}`;
  el("subtitle").textContent = `${A.model}, ${A.n} sentences${data}, ${(A.tokens / A.n).toFixed(1)} tokens each, ` +
    `on ${A.chip}: ${D.chip_title}.`;
  const dense = A.encodings.find((e) => e.code === "dense" && e.hardware === A.hardware);
  const movement = (A.by_category.spike_movement + A.by_category.dense_movement) / A.total_j;
  const cards = [
    [percent(A.silent_share), `of neuron-windows are silent, <i id="card-quiet">${percent(A.quiet_share)}</i> of synapses quiet`, "silent"],
    [times(dense.total_j / A.total_j), "this much would a dense 4-bit network draw on the same arrays", "dense"],
    [times(A.ratio_min), `at least this much would a spiking rival draw (${safe(A.ratio_min_rival)}): BERT-base, same chip, its cheapest arrays`, "rival"],
    [percent(movement), "of the energy moves data", "movement"],
    [eng(A.per_token_j), "a token", "token"],
    [eng(A.per_synaptic_operation_j), "a synaptic operation", "operation"],
    [eng(A.latency_s / A.n, "s"), `a sentence, at ${eng(A.power_w, "W")}`, "latency"],
    [`${(A.area_m2 * 1e6).toPrecision(3)} mm²`, "of arrays and cores", "area"],
  ];
  el("cards").innerHTML = cards.map(([big, text, id]) => `<div><b id="card-${id}">${big}</b><span>${text}</span></div>`).join("");
  el("verdict").innerHTML = A.verdict.map((s) => `<li>${safe(s)}</li>`).join("");
  el("notes").innerHTML = Object.values(A.notes).map((s) => `<li>${s}</li>`).join("");
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
  const shown = [find("rate"), find("ttfs"), dense, chosen];
  const axis = joules(Math.max(...shown.map((e) => e.total_j / A.n)));
  draw("slider-chart", [{
    type: "bar", orientation: "h", y: ["rate", "TTFS", "dense", `M-TTFS k = ${k}`], x: shown.map((e) => e.total_j / A.n / axis.scale),
    text: shown.map((e) => eng(e.total_j / A.n)), textposition: "auto", cliponaxis: false, hoverinfo: "skip",
    marker: { color: ["#9aa5b1", "#9aa5b1", "#5c7c99", css("--accent")] },
  }], { xaxis: { title: { text: axis.title }, rangemode: "tozero" }, margin: { b: 46 } });
  const z = D.silence[name];
  draw("silence", [{
    type: "heatmap", z, x: D.connections, y: z.map((_, i) => `block ${i}`), zmin: 0, zmax: 1, xgap: 3, ygap: 3, showscale: !phone(),
    colorscale: [[0, "#fff3e6"], [0.5, "#f6a13c"], [0.85, "#3b6fb6"], [1, "#12263a"]], colorbar: { tickformat: ".0%", thickness: 12 },
    text: z.map((row) => row.map((v) => `${(100 * v).toFixed(0)}`)), texttemplate: "%{text}",
    hovertemplate: "%{y}, %{x}: %{z:.1%} silent<extra></extra>",
  }], { yaxis: { autorange: "reversed" }, margin: { b: 50 } });
}

function stacked(id, rows, label, total) {
  const axis = joules(Math.max(...rows.map((r) => r.total_j / total)));
  const used = Object.keys(COLORS).filter((c) => rows.some((r) => r.by_category[c] > 0));
  el("legend").innerHTML = used.map((c) => `<span><i style="background:${COLORS[c]}"></i>${pretty(c)}</span>`).join("");
  draw(id, used.map((c) => ({
    type: "bar", orientation: "h", name: pretty(c), marker: { color: COLORS[c] }, y: rows.map(label),
    x: rows.map((r) => r.by_category[c] / total / axis.scale),
    hovertext: rows.map((r) => `${label(r)}<br>${pretty(c)}: ${eng(r.by_category[c] / total)} (${percent(r.by_category[c] / r.total_j)})`),
    hoverinfo: "text",
  })), {
    barmode: "stack", bargap: 0.25, xaxis: { title: { text: axis.title } }, yaxis: { autorange: "reversed" }, margin: { b: 46, r: 20 },
  });
}

function bills() {
  const sorted = [...A.encodings].sort((a, b) => a.total_j - b.total_j);
  const shown = sorted.filter((e) => e.total_j < 4 * sorted[Math.floor(sorted.length / 2)].total_j);
  const off = sorted.filter((e) => !shown.includes(e));
  el("off-chart").textContent = off.length ? `Off the chart: ${off.map((e) => `${codeName(e)} ${eng(e.total_j / A.n)}`).join(", ")}.` : "";
  stacked("bills", shown, codeName, A.n);
}

function honesty() {
  const rows = [["additions on this chip", A.accumulate_only_j], ["additions at the customary fp32 price", A.customary_j], ["the full bill", A.total_j]];
  const axis = joules(Math.max(...rows.map((r) => r[1] / A.n)));
  draw("honesty", [{
    type: "bar", orientation: "h", y: rows.map((r) => r[0]), x: rows.map((r) => r[1] / A.n / axis.scale), text: rows.map((r) => eng(r[1] / A.n)),
    textposition: "auto", hoverinfo: "skip", marker: { color: ["#3b6fb6", "#9aa5b1", css("--accent")] },
  }], { yaxis: { autorange: "reversed" }, xaxis: { title: { text: axis.title } }, margin: { b: 46 } });
}

function waterfall() {
  const steps = A.waterfall;
  el("waterfall-note").textContent = `BERT-base, ${A.bert_base_tokens} tokens. Digital arrays, until synapse units replace them.`;
  const axis = joules(steps[0].total_j);
  const values = steps.map((s, i) => (i ? s.total_j - steps[i - 1].total_j : s.total_j) / axis.scale);
  draw("waterfall", [{
    type: "waterfall", x: [...steps.map((s) => s.step), "ours"], y: [...values, 0],
    measure: [...steps.map((_, i) => (i ? "relative" : "absolute")), "total"], textposition: "outside", cliponaxis: false,
    text: [...steps.map((s, i) => (i ? times(steps[i - 1].total_j / s.total_j) : eng(s.total_j))), eng(steps.at(-1).total_j)],
    decreasing: { marker: { color: "#2b8a3e" } }, increasing: { marker: { color: "#c92a2a" } }, totals: { marker: { color: css("--accent") } },
    connector: { line: { color: css("--line") } }, hoverinfo: "x+text",
  }], { yaxis: { title: { text: axis.title } }, margin: { t: 26, b: 60 } });
}

function rivals() {
  const rows = [...A.rivals].sort((a, b) => a.total_j - b.total_j);
  const ours = { name: "this network", total_j: A.bert_base_per_sentence_j };
  const all = [ours, ...rows];
  const axis = joules(Math.max(...all.map((r) => r.total_j)));
  const label = (r) => (r === ours ? "this network" : `${r.name}<br>T = ${r.steps}, ${r.spikes_per_window} spikes a window (rate ${percent(r.spike_rate)})` +
    `<br>${r.layers} layers, ${r.weight_bits}-bit weights, ${r.hardware} arrays<br>${r.sources.spikes}`);
  draw("rivals", [
    { type: "bar", orientation: "h", x: all.map((r) => r.total_j / axis.scale), y: all.map((r) => r.name), hovertext: all.map(label), hoverinfo: "text",
      text: all.map((r) => (r === ours ? eng(r.total_j) : times(r.times_ours))), textposition: "outside", cliponaxis: false,
      marker: { color: all.map((r) => (r === ours ? css("--accent") : "#5c7c99")) } },
  ], { barmode: "group", xaxis: { title: { text: axis.title } }, yaxis: { autorange: "reversed" }, margin: { b: 46, r: 60 } });
  const score = (r) => (r.accuracy === null ? "–" : (100 * r.accuracy).toFixed(1));
  const best = { name: "this network", total_j: A.bert_base_per_sentence_j, times_ours: 1, accuracy: A.accuracy, hardware: A.bert_base_hardware,
    latency_s: A.bert_base_latency_s, area_m2: A.bert_base_area_m2, energy_delay_times_ours: 1, published_mj: null };
  el("rival-table").innerHTML = "<tr><th>network</th><th>arrays</th><th class=n>on this chip</th><th class=n>times ours</th><th class=n>score</th>" +
    "<th class=n>a sentence</th><th class=n>mm²</th><th class=n>energy × delay at equal area</th><th class=n>published, all blocks</th><th>published by</th></tr>" +
    [best, ...rows].map((r) => `<tr><td>${safe(r.name)}</td><td>${r.hardware === "msu" ? "synapse units" : "digital"}</td><td class=n>${eng(r.total_j)}</td>` +
    `<td class=n>${times(r.times_ours)}</td><td class=n>${score(r)}</td><td class=n>${eng(r.latency_s, "s")}</td><td class=n>${(r.area_m2 * 1e6).toPrecision(3)}</td>` +
    `<td class=n>${times(r.energy_delay_times_ours)}</td><td class=n>${r.published_mj === null ? "–" : `${r.published_mj.toPrecision(3)} mJ`}</td>` +
    `<td>${safe(r.published_source || "–")}</td></tr>`).join("");
}

function mesh() {
  const M = D.mesh, largest = Math.max(...M.joules.flat());
  const axis = joules(largest);
  draw("mesh", [{
    type: "heatmap", z: M.joules.map((row, y) => row.map((v, x) => (M.labels[y][x] ? v / axis.scale : null))), text: M.labels,
    colorscale: [[0, "#13293d"], [0.25, "#7b2d26"], [0.6, "#e8590c"], [1, "#ffe8a3"]], xgap: 1, ygap: 1, showscale: !phone(),
    colorbar: { thickness: 12, title: { text: axis.title.replace(" a sentence", "") } }, hovertemplate: "%{text}<br>%{z:.3g} " + axis.title + "<extra></extra>",
  }], { xaxis: { showgrid: false, constrain: "domain", title: { text: "column" } }, yaxis: { autorange: "reversed", scaleanchor: "x", showgrid: false, constrain: "domain", title: { text: "row" } }, margin: { b: 46 } });
}

function tornado() {
  const rows = [...A.tornado].reverse();
  const bar = (side, color, name) => ({
    type: "bar", orientation: "h", y: rows.map((r) => r.key), x: rows.map((r) => 100 * (r[side] / A.total_j - 1)), marker: { color: color },
    hovertext: rows.map((r) => `${r.key} ${name}: ${eng(r[side] / A.n)}`), hoverinfo: "text",
  });
  draw("tornado", [bar("low_j", "#2b8a3e", "−50 %"), bar("high_j", "#c92a2a", "+50 %")],
    { barmode: "overlay", xaxis: { title: { text: "change of the bill, %" }, ticksuffix: " %" }, margin: { b: 46 } });
}

function breakEven(id, z, y, title, suffix) {
  const logs = z.map((row) => row.map((v) => Math.log10(v)));
  const common = { x: D.silences, y: y.map((v) => `${v}${suffix}`), z: logs };
  draw(id, [
    { ...common, type: "heatmap", zmin: -1, zmax: 1, showscale: false, zsmooth: false,
      customdata: z, hovertemplate: "%{x:.0%} silent, %{y}: %{customdata:.2f}×<extra></extra>",
      colorscale: [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]] },
    { ...common, type: "contour", contours: { coloring: "none", start: 0, end: 0, size: 1 }, line: { color: "#111", width: 2.5 }, hoverinfo: "skip", showscale: false },
  ], { xaxis: { title: { text: "silent share" }, tickformat: ".0%" }, yaxis: { title: { text: title }, type: "category" }, margin: { b: 46 } });
}

function tables() {
  const rows = Object.entries(A.by_connection).sort((a, b) => b[1] - a[1]);
  el("lines").innerHTML = "<tr><th>connection or step</th><th class=n>a sentence</th><th class=n>share</th></tr>" + rows.map(([name, v]) =>
    `<tr><td>${safe(name)}</td><td class=n>${eng(v / A.n)}</td><td class=n>${percent(v / A.total_j, 2)}</td></tr>`).join("");
  el("about").textContent = D.chip_about;
  el("numbers").innerHTML = "<tr><th>key</th><th class=n>value</th><th>source</th></tr>" + D.chip.map((q) =>
    `<tr><td>${safe(q.key)}</td><td class=n>${safe(q.value)}</td><td>${safe(q.source)}</td></tr>`).join("");
}

function everything() {
  slider(); bills(); honesty(); waterfall(); rivals(); mesh(); tornado();
  breakEven("map-hops", D.break_even_hops, D.hop_factors, "hop energy, times the chip's", "×");
  breakEven("map-lengths", D.break_even_lengths, D.lengths, "tokens", "");
}

header();
tables();
el("k").value = (A.code.match(/k(\d)/) || [0, 0])[1];
el("per-neuron").checked = A.code.endsWith("-neuron");
el("msu").checked = A.hardware === "msu";
el("msu-switch").hidden = A.hardware !== "msu";
for (const id of ["k", "per-neuron", "msu"]) el(id).addEventListener("input", slider);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", everything);
everything();
document.documentElement.dataset.ready = "yes";
