"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const A = D.answer;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const el = (id) => document.getElementById(id);
const phone = () => window.innerWidth < 640;
const safe = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

function layout(extra = {}) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), automargin: true, fixedrange: true };
  const { xaxis, yaxis, margin, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
    font: { color: css("--ink"), size: phone() ? 11 : 13, family: "system-ui, sans-serif" },
    margin: { l: 10, r: 14, t: 12, b: 34, ...margin },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}
const draw = (id, traces, extra) => Plotly.react(id, traces, layout(extra), { staticPlot: true, responsive: true });
