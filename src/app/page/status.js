// Shows status.json, which is asked for every EVERY_MS. Whatever comes from there is only ever text.
'use strict';

const EVERY_MS = 2000;
const MISSED_MAX = 3;
const ROWS = 50; // partitions shown at once
const THREADS = 1000; // the same
const SVG = 'http://www.w3.org/2000/svg';

let last = null; // the newest document
let missed = 0;
let order = {column: 'counted_lag_seconds', down: true};
let page = 0;

const at = (id) => document.getElementById(id);

/** An element with text and attributes; children may be strings, which become text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children.map((child) => typeof child === 'object' ? child : String(child)));
  return element;
}

/** Sets a text only where it changes, so that nothing is read out again. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function number(value, digits) {
  if (value === null || value === undefined) return 'not known';
  return value.toLocaleString('en', {minimumFractionDigits: digits || 0,
                                     maximumFractionDigits: digits || 0});
}

/** A cell of a number; data-path and data-value say which one, and its exact value. */
function cell(path, value, digits) {
  return make('td', {class: 'n', 'data-path': path, 'data-value': String(value)},
              number(value, digits));
}

const head = (text) => make('th', {scope: 'row'}, text);
const row = (...cells) => make('tr', {}, ...cells);
const clock = (time) => time ? time.slice(11, 19) + ' UTC' : 'not yet';
const day = (time) => time ? time.slice(0, 10) + ' ' + clock(time) : 'not known';

/** Replaces the children, unless they are the same: then a selection, or the focus, would be lost. */
function fill(id, children) {
  const old = at(id);
  const fresh = old.cloneNode(false);
  fresh.append(...children);
  if (!fresh.isEqualNode(old)) old.replaceChildren(...fresh.childNodes);
}

// --- sections

function showState(status) {
  const lines = status.state.reasons.map((reason) => make('p', {class: 'bad'}, '\u26a0 ' + reason));
  if (lines.length === 0 && status.state.is_ready)
    lines.push(make('p', {class: 'ok'}, '\u2713 All is well: records are published and counted.'));
  if (lines.length === 0) lines.push(make('p', {class: 'bad'}, '\u26a0 Not ready.'));
  fill('state', lines);
  document.title = (lines[0].className === 'ok' ? '' : '\u26a0 ') + 'rollcall ' + status.instance;
}

function showTotals(status) {
  const names = {consumed: 'read', published: 'published', counted: 'counted',
                 anomalies: 'anomalies', lost: 'lost: deleted before they were needed',
                 truncated: 'cut off from the log after they were taken'};
  const rejected = (of) => Object.values(of.rejected).reduce((sum, n) => sum + n, 0);
  const rows = Object.keys(names).map((name) => row(head(names[name]),
    cell('totals.' + name, status.totals[name]), cell('rates.' + name, status.rates[name], 1)));
  rows.splice(3, 0, row(head('rejected'), cell('rejected', rejected(status.totals)),
                        cell('rejected.rate', rejected(status.rates), 1)));
  fill('totals', rows);
}

const COLUMNS = {partition: 'partition', end: 'end', published: 'published', counted: 'counted',
                 lag_records: 'to publish', lag_seconds: 'to publish, s',
                 counted_lag_records: 'to count', counted_lag_seconds: 'to count, s'};

function showLag(status) {
  const all = status.partitions;
  const most = (name) => all.reduce((max, entry) => Math.max(max, entry[name] || 0), 0);
  const sum = (name) => all.reduce((total, entry) => total + (entry[name] || 0), 0);
  say(at('lag-sum'), `${number(all.length)} partitions; ${number(sum('lag_records'))} offsets to ` +
      `publish, the oldest record ${number(most('lag_seconds'), 1)} s old; ` +
      `${number(sum('counted_lag_records'))} to count, the oldest ` +
      `${number(most('counted_lag_seconds'), 1)} s old.`);
  for (const th of at('lag-head').children) {
    if (th.dataset.column === order.column)
      th.setAttribute('aria-sort', order.down ? 'descending' : 'ascending');
    else
      th.removeAttribute('aria-sort');
  }
  const value = (entry) => entry[order.column] === null ? Infinity : entry[order.column];
  const compare = (a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0;
  const sorted = [...all].sort((a, b) =>
    compare(a, b) * (order.down ? -1 : 1) || a.partition - b.partition);
  const pages = Math.max(1, Math.ceil(sorted.length / ROWS));
  page = Math.min(page, pages - 1);
  fill('lag', sorted.slice(page * ROWS, (page + 1) * ROWS).map((entry) => row(
    ...Object.keys(COLUMNS).map((name) => name === 'partition'
      ? make('th', {scope: 'row', class: 'n'}, entry.partition)
      : cell(`partitions.${entry.partition}.${name}`, entry[name],
             name.endsWith('seconds') ? 1 : 0)))));
  at('pager').hidden = pages === 1;
  say(at('page'), `page ${page + 1} of ${pages}`);
  at('prev').disabled = page === 0;
  at('next').disabled = page === pages - 1;
}

function draw(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Bars over the time from the oldest to the newest minute; an anomaly has a mark above its bar. */
function showMinutes(status) {
  const minutes = [...status.minutes].reverse();
  const most = minutes.reduce((max, entry) => Math.max(max, entry[1]), 1);
  const odd = minutes.filter((entry) => entry[2]).length;
  const svg = draw('svg', {viewBox: `0 0 ${Math.max(minutes.length, 30) * 8} 160`, role: 'img',
                           preserveAspectRatio: 'none', 'aria-label':
    `Logins in each of the newest ${minutes.length} minutes with any; at most ${most}, ` +
    `${odd} of them anomalies`});
  minutes.forEach(([minute, count, isAnomaly], i) => {
    const height = Math.max(1, count / most * 140);
    const bar = draw('rect', {x: i * 8 + 1, y: 160 - height, width: 6, height,
                              class: isAnomaly ? 'mark' : 'bar'});
    const title = draw('title', {});
    title.textContent = `${minute}: ${count}${isAnomaly ? ', an anomaly' : ''}`;
    bar.append(title);
    svg.append(bar);
    if (isAnomaly)
      svg.append(draw('path', {class: 'mark', d: `M${i * 8} ${150 - height - 6}h8l-4 7z`}));
  });
  const key = minutes.length === 0 ? 'No logins are counted yet.'
    : `${minutes[0][0]} to ${minutes[minutes.length - 1][0]} UTC, minutes with logins only; ` +
      `highest bar ${number(most)}; \u25bc marks an anomaly (${odd})`;
  fill('chart', [svg, make('p', {class: 'key'}, key)]);
  fill('minutes', status.minutes.map(([minute, count, isAnomaly]) => row(
    head(minute), cell('minutes.' + minute, count), make('td', {}, isAnomaly ? 'yes' : ''))));
  fill('anomalies', status.anomalies.length === 0 ? [make('li', {}, 'none')]
    : status.anomalies.map((entry) => make('li', {},
      `${entry.minute}: ${number(entry.count)} logins, threshold ${number(entry.threshold)}`)));
}

/** A table of values and numbers; rows are [value, path, number]. */
function values(label, caption, unit, rows) {
  return make('div', {class: 'scroll', role: 'region', tabindex: '0', 'aria-label': label},
    make('table', {}, make('caption', {}, caption),
      make('thead', {}, row(make('th', {scope: 'col'}, 'value'),
                            make('th', {scope: 'col', class: 'n'}, unit))),
      make('tbody', {}, ...rows.map(([value, path, count]) =>
        row(head(make('bdi', {}, value)), cell(path, count))))));
}

function showTop(status) {
  fill('top', Object.entries(status.top).filter(([name]) => name !== 'read_at').map(
    ([name, pairs]) => values('Largest values of ' + name, name, 'logins',
      pairs.map(([value, count], i) => [value, `top.${name}.${i}`, count]))));
}

/** The newest bucket of each declared count: its largest values, or its number. */
function showCounts(status) {
  const counts = Object.entries(status.counts);
  at('counts-of-own').hidden = counts.length === 0;
  fill('counts', counts.map(([name, count], n) => {
    const path = `counts.${n}`; // a name may have dots
    const rows = count.value_count === null ? [['all', path + '.number', count.number]]
      : count.values.map(([value, of], i) => [value, `${path}.values.${i}`, of]);
    const shown = count.value_count === null || count.value_count === rows.length ? ''
      : `, ${rows.length} of ${number(count.value_count)} values`;
    return values('Newest counts of ' + name,
      name + (count.bucket === null ? '' : ', ' + count.bucket) + shown,
      count.is_distinct ? 'different values' : 'logins', rows);
  }));
}

function showRejected(status) {
  fill('rejected', Object.keys(status.totals.rejected).map((reason) => {
    const example = status.rejections.find((entry) => entry.reason === reason);
    return row(head(reason), cell('totals.rejected.' + reason, status.totals.rejected[reason]),
      cell('rates.rejected.' + reason, status.rates.rejected[reason], 1),
      make('td', {}, example === undefined ? 'none'
        : `partition ${example.partition}, offset ${example.offset}: ${example.detail}`));
  }));
  fill('rewinds', Object.keys(status.totals.rewinds).map((cause) =>
    row(head(cause), cell('totals.rewinds.' + cause, status.totals.rewinds[cause]))));
}

function showOutside(status) {
  fill('outside', [['Kafka', status.kafka], ['Redis', status.redis]].map(([name, target]) =>
    row(head(name), make('td', {class: target.is_up ? '' : 'bad'},
                         target.is_up ? '\u2713 answers' : '\u26a0 does not answer'),
      make('td', {}, day(target.since)), make('td', {}, target.version || 'not known'),
      make('td', {}, target.reason || ''))));
  const stuck = status.threads.filter((entry) => entry.is_stuck);
  say(at('threads-sum'), `${number(status.threads.length)} threads, ${number(stuck.length)} stuck` +
      (stuck.length > 0 ? ': ' + stuck.slice(0, 10).map((entry) => entry.name).join(', ') : '') +
      (status.threads.length > THREADS
        ? `; below are the ${number(THREADS)} that are stuck or idle for longest` : ''));
  if (!at('threads').closest('details').open) return; // thousands, perhaps
  const first = (a, b) => b.is_stuck - a.is_stuck || b.idle_s - a.idle_s;
  fill('threads', [...status.threads].sort(first).slice(0, THREADS).map(
    (entry) => row(head(entry.name), cell('threads.' + entry.name, entry.idle_s, 1),
      make('td', {class: entry.is_stuck ? 'bad' : ''}, entry.is_stuck ? '\u26a0 stuck' : 'moves'))));
}

function showRest(status) {
  say(at('instance'), status.instance);
  say(at('place'), `group ${status.group}, topic ${status.topic}, version ${status.version}, ` +
      `up for ${number(Math.floor(status.uptime_s))} s`);
  fill('recent', status.recent.length === 0 ? [make('li', {}, 'none')]
    : [...status.recent].reverse().map((line) => make('li', {}, line)));
  fill('settings', Object.entries(status.settings).map(([name, value]) =>
    row(head(name), make('td', {}, value))));
  for (const element of document.querySelectorAll('[data-read]')) {
    say(element, element.dataset.read === 'top' ? `read from Redis at ${clock(status.top.read_at)}`
      : `read at ${clock(status.now)}`);
  }
}

function show(status) {
  showState(status);
  showTotals(status);
  showLag(status);
  showMinutes(status);
  showTop(status);
  showCounts(status);
  showRejected(status);
  showOutside(status);
  showRest(status);
  at('live').hidden = false;
}

// --- polling

function showStale() {
  const since = last === null ? 'this page was opened' : day(last.now);
  at('stale').hidden = false;
  say(at('stale'), `\u26a0 Stale since ${since}: the instance is not responding. What is below is ` +
      'what it reported last. Look whether the process runs, and at its log.');
}

async function poll() {
  let status;
  try {
    const answer = await fetch('status.json', {cache: 'no-store',
                                               signal: AbortSignal.timeout(EVERY_MS)});
    if (!answer.ok) throw new Error(String(answer.status));
    status = await answer.json();
  } catch {
    missed++;
    if (missed >= MISSED_MAX) showStale();
    return;
  }
  last = status;
  missed = 0;
  at('stale').hidden = true;
  say(at('stale'), '');
  show(last);
}

async function keepPolling() {
  for (;;) {
    const began = performance.now();
    await poll();
    const left = began + EVERY_MS - performance.now();
    await new Promise((resolve) => setTimeout(resolve, Math.max(left, 100)));
  }
}

function turn(by) {
  page += by;
  showLag(last);
}

for (const [name, text] of Object.entries(COLUMNS)) {
  const button = make('button', {type: 'button'}, text);
  button.addEventListener('click', () => {
    order = {column: name, down: order.column === name ? !order.down : name !== 'partition'};
    page = 0;
    if (last !== null) showLag(last);
  });
  at('lag-head').append(make('th', {scope: 'col', class: 'n', 'data-column': name}, button));
}
at('prev').addEventListener('click', () => turn(-1));
at('next').addEventListener('click', () => turn(1));
for (const details of document.querySelectorAll('details'))
  details.addEventListener('toggle', () => { if (last !== null) showOutside(last); });
keepPolling();
