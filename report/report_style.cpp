#include "report_style.h"

namespace regroup {

const char* const kReportStyle = R"css(
:root{color-scheme:light dark;
 --page:#f7f8f9;--card:#fff;--text:#1b2027;--muted:#59626e;--line:#e1e5ea;--head:#f2f4f6;
 --c1:#0072b2;--c2:#e69f00;--c3:#009e73;--c4:#cc79a7}
@media screen and (prefers-color-scheme:dark){:root{
 --page:#12151a;--card:#1a1e25;--text:#e7eaee;--muted:#9ba6b3;--line:#2e353f;--head:#20252d;
 --c1:#56b4e9;--c2:#e69f00;--c3:#1fbf92;--c4:#d992b9}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
 -webkit-text-size-adjust:100%}
header,main,footer{max-width:1080px;margin:0 auto;padding:0 clamp(16px,3vw,32px)}
header{padding-top:clamp(24px,4vw,48px)}
h1{font-size:clamp(1.7rem,4vw,2.5rem);line-height:1.15;margin:.1em 0 .15em;letter-spacing:-.02em}
h2{font-size:1.3rem;line-height:1.25;margin:2.4em 0 .7em;letter-spacing:-.01em}
h3{font-size:1.05rem;margin:0 0 .35em}
p{margin:.6em 0;max-width:75ch;overflow-wrap:anywhere}
.eyebrow{margin:0;color:var(--c1);font-weight:650;font-size:.85rem;letter-spacing:.04em}
.sub{margin:0;color:var(--muted)}
nav{margin:1em 0 0;display:flex;flex-wrap:wrap;gap:.3em 1.2em;font-size:.92rem}
nav a{color:var(--c1);text-decoration-thickness:1px;text-underline-offset:3px}
.finding,figure,.table,.sample,.code{background:var(--card);border:1px solid var(--line);
 border-radius:10px;margin:0 0 16px}
.table{overflow-x:auto}
.finding{padding:clamp(16px,2.4vw,26px);margin-top:20px;border-left:4px solid var(--c3)}
.verdict{font-size:clamp(1.05rem,1.6vw,1.22rem);line-height:1.5;margin:0;max-width:70ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:14px 20px;
 margin:18px 0 0;padding:16px 0 0;border-top:1px solid var(--line)}
.tiles div{display:flex;flex-direction:column}
.tiles dt{order:2;font-size:.86rem;color:var(--text)}
.tiles dd{margin:0}
.tiles .value{order:1;font-size:1.55rem;font-weight:650;letter-spacing:-.02em;line-height:1.2;
 font-variant-numeric:tabular-nums}
.tiles .note{order:3;font-size:.8rem;color:var(--muted)}
.note{color:var(--muted);font-size:.82rem}
.aside{color:var(--muted);font-size:.9rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;padding:12px 16px;font-weight:600;overflow-wrap:anywhere}
th,td{padding:8px 14px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{background:var(--head);font-size:.82rem;font-weight:600;color:var(--muted);
 vertical-align:bottom}
.n{text-align:right;font-variant-numeric:tabular-nums}
td .note{display:block;overflow-wrap:anywhere;white-space:normal}
td.n,td.n .note{white-space:nowrap}
td{overflow-wrap:anywhere}
td.k{font:.8rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;
 min-width:9em}
.role{display:inline-flex;align-items:center;gap:.5em;white-space:nowrap;font-weight:600}
.role::before{content:"";width:10px;height:10px;background:var(--c);flex:none}
.c1{--c:var(--c1)}.c2{--c:var(--c2)}.c3{--c:var(--c3)}.c4{--c:var(--c4)}.c5{--c:#8b95a1}
.role.c2::before{clip-path:polygon(50% 0,100% 100%,0 100%)}
.role.c3::before{border-radius:50%}
.role.c4::before{clip-path:polygon(50% 0,100% 50%,50% 100%,0 50%)}
figure{padding:16px}
figcaption{color:var(--muted);font-size:.9rem;margin-top:8px;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}
.narrow{display:none;max-width:480px}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--muted);
 font-variant-numeric:tabular-nums}
svg .name,svg .key{fill:var(--text)}
svg .value,svg .label{fill:var(--text);paint-order:stroke;stroke:var(--card);stroke-width:4px;
 stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}
.axis{stroke:var(--muted);stroke-width:1}
.line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.thin{stroke-width:1.3}
.dashed{stroke-dasharray:2 5}
.ref{stroke:var(--c);stroke-width:1.6;stroke-dasharray:7 5}
.mark{fill:var(--c);stroke:var(--card);stroke-width:1.2}
.bar{fill:var(--c)}
.limit{stroke:var(--text);stroke-width:1.6;stroke-dasharray:5 4}
details{margin-top:10px;font-size:.9rem}
summary{cursor:pointer;color:var(--c1)}
details .table{margin:10px 0 0;max-width:460px}
.sample{padding:16px}
.prompt{margin:0 0 12px;font-weight:600}
.texts{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));gap:16px}
.texts>div{border-top:3px solid var(--c);padding-top:8px;min-width:0}
.texts p{white-space:pre-wrap;margin:.4em 0 0;font-size:.95rem}
.code>p{font-weight:600;margin:0;padding:12px 16px}
pre{margin:0;padding:12px 16px;border-top:1px solid var(--line);overflow-x:auto;
 white-space:pre-wrap;overflow-wrap:anywhere;
 font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
footer{padding-top:24px;padding-bottom:40px;color:var(--muted);font-size:.86rem}
@media screen and (max-width:1100px){th,td{padding:8px 9px}}
@media screen and (max-width:860px){
 .wide{display:none}.narrow{display:block}
 table,caption,tbody,tr,td{display:block}
 thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 tr{border-top:1px solid var(--line);padding:8px 0}
 th,td{border:0}
 td{display:flex;justify-content:space-between;gap:16px;padding:3px 16px;text-align:right}
 td::before{content:attr(data-label);color:var(--muted);text-align:left;flex:none;max-width:50%;
  font:.88rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
 td.k{display:block;text-align:left}
 td.k::before{display:block;max-width:none}
 td.n,td.n .note{white-space:normal}
 td.n .note{display:inline}
 figure{padding:12px}}
@media print{
 body{background:#fff;font-size:10.5pt}
 header,main,footer{max-width:none;padding-left:0;padding-right:0}
 nav,details{display:none}
 .finding,figure,tr,.sample{break-inside:avoid}
 h2,caption{break-after:avoid}
 th,td{padding:4px 8px}
 *{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
)css";

}  // namespace regroup
