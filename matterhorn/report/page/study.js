const unitOf = (s) => (s.unit === "1" ? "" : ` ${s.unit}`);

function header() {
  el("caveat").textContent = D.caveat;
  el("headline").textContent = percent(A.clean);
  el("subtitle").textContent = `${A.model}, ${A.n} rows of ${A.data || A.task}, ${A.chips} chip${A.chips > 1 ? "s" : ""} a value. ` +
    `One property at a time; all else is ideal.`;
  el("needed").innerHTML = "<tr><th>property</th><th>needed</th></tr>" + Object.entries(A.studies).map(([name, s]) =>
    `<tr><td>${safe(s.title)}</td><td id="needed-${name}">${safe(D.needed[name])}</td></tr>`).join("");
}

function sections() {
  el("studies").innerHTML = Object.entries(A.studies).map(([name, s]) => `<section><h2>${safe(s.title)}</h2>
    <div id="chart-${name}" class="chart"></div><details><summary>Numbers</summary><table id="table-${name}">
    <tr><th class=n>value</th><th class=n>mean</th><th class=n>spread</th><th class=n>worst</th><th class=n>yield</th></tr>` +
    s.points.map((p) => `<tr><td class=n>${p.value}${safe(unitOf(s))}</td><td class=n>${percent(p.mean, 2)}</td><td class=n>` +
      `${percent(p.spread, 2)}</td><td class=n>${percent(p.worst, 2)}</td><td class=n>${percent(p.yield, 0)}</td></tr>`).join("") +
    "</table></details></section>").join("");
}

function chart(name, s) {
  const x = s.points.map((p) => p.value);
  const scattered = s.points.flatMap((p) => p.scores.map((score) => [p.value, score]));
  const line = (y, text, dash) => ({ type: "scatter", mode: "lines", x: [Math.min(...x), Math.max(...x)], y: [y, y],
    line: { color: css("--soft"), width: 1, dash }, name: text });
  draw(`chart-${name}`, [
    line(A.clean, "without a chip", "solid"), line(A.clean - A.allowed_loss, "one point less", "dot"),
    { type: "scatter", mode: "markers", x: scattered.map((p) => p[0]), y: scattered.map((p) => p[1]),
      marker: { color: "#3b6fb6", size: 5, opacity: 0.45 } },
    { type: "scatter", mode: "lines+markers", x, y: s.points.map((p) => p.mean), line: { color: css("--accent"), width: 2.5 },
      error_y: { type: "data", array: s.points.map((p) => p.spread), color: css("--accent"), thickness: 1 } },
  ], { xaxis: { title: { text: s.unit === "1" ? name.replace("_", "/") : safe(s.unit) }, type: s.scale },
    yaxis: { tickformat: ".0%", title: { text: A.metric } }, margin: { b: 46 } });
}

const everything = () => Object.entries(A.studies).forEach(([name, s]) => chart(name, s));
header();
sections();
everything();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", everything);
document.documentElement.dataset.ready = "yes";
