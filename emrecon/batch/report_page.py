"""How the report of a batch looks, and how its jobs are found and put in order."""

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:84em;padding:0 1em;color:#222}
h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:1.6em}
.sum b{font-size:1.3em}.sum span{margin-right:1.6em;display:inline-block}
.bad{color:#a40000}[hidden]{display:none!important}
form{display:flex;flex-wrap:wrap;gap:.5em 1.2em;align-items:center;position:sticky;top:0;
background:#fff;padding:.5em 0;border-bottom:1px solid #ddd;z-index:1}
input,select{font:inherit;padding:.15em .3em}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30em),1fr));gap:1em}
.job{border:1px solid #ddd;border-radius:6px;padding:.7em;overflow-wrap:anywhere;min-width:0}
.job.failed{border-color:#d99}.job h3{font-size:1em;margin:0 0 .4em}
.job h3 span,.small{color:#555;font-size:.87em;font-weight:400}
.job img{width:100%;display:block;background:#fff}.job svg{width:100%;height:4em}
.job p,.job ul{margin:.4em 0 0}.job ul{padding-left:1.2em}
.warn{color:#7a4b00;font-size:.87em}summary{cursor:pointer}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 .8em;margin:.3em 0}dd{margin:0}
code{font-size:.92em}
polyline{fill:none;stroke:#0072b2;stroke-width:1.6;vector-effect:non-scaling-stroke}
@media(max-width:40em){form{position:static}body{margin-top:1em}}
"""

CONTROLS = """
<form id=look hidden onsubmit="return false">
<label>Find <input id=find type=search placeholder="name, setting, warning"></label>
<label>Show <select id=show><option value="">all
<option value=failed>failed<option value=warned>with warnings
<option value=recon>reconstructions<option value=segment>segmentations</select></label>
<label>Order <select id=order><option value=at>as in the job file
<option value=name>name<option value=seconds>longest first
<option value=mb>most memory first</select></label>
<span id=count class=small></span></form>
"""

SCRIPT = """
const by = id => document.getElementById(id), jobs = [...document.querySelectorAll('.job')];
function read(job) {  // with spaces between: "rays" and "2" are not "s2"
  const walk = document.createTreeWalker(job, NodeFilter.SHOW_TEXT), words = [];
  while (walk.nextNode()) words.push(walk.currentNode.data);
  return words.join(' ').toLowerCase();
}
const texts = new Map(jobs.map(job => [job, read(job)]));
const orders = {
  at: (a, b) => a.dataset.at - b.dataset.at,
  name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, {numeric: true}),
  seconds: (a, b) => b.dataset.seconds - a.dataset.seconds,
  mb: (a, b) => b.dataset.mb - a.dataset.mb,
};
function look() {
  const words = by('find').value.toLowerCase(), show = by('show').value;
  for (const job of jobs)
    job.hidden = !texts.get(job).includes(words) || (show && !job.classList.contains(show));
  for (const grid of document.querySelectorAll('.grid')) {
    grid.append(...[...grid.children].sort(orders[by('order').value]));
    grid.parentElement.hidden = ![...grid.children].some(job => !job.hidden);
  }
  by('count').textContent = jobs.filter(job => !job.hidden).length + ' of ' + jobs.length;
}
by('look').hidden = false;
by('look').addEventListener('input', look);
look();
"""
