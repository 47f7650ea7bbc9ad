// Every page works without this script. It adds the reader's own times, copying, filters that answer at once, live runs
// and lists, and signs in by a link.
(() => {
  'use strict';
  const $ = (s, from = document) => from.querySelector(s);
  const $$ = (s, from = document) => [...from.querySelectorAll(s)];
  const lang = 'en-GB'; // the words are English; day before month is read everywhere
  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const wait = ms => new Promise(done => setTimeout(done, ms));

  // One polite live region for the whole page; a text said twice is said again.
  let saying;
  const say = text => {
    clearTimeout(saying);
    $('#say').textContent = '';
    saying = setTimeout(() => { $('#say').textContent = text; }, 60);
  };

  // Copying also works on plain http, where browsers have no clipboard API: then the text is selected and the old command tried.
  async function copy(button) {
    const from = document.getElementById(button.dataset.copy);
    let state = 'done';
    try {
      await navigator.clipboard.writeText(from.value ?? from.textContent);
    } catch {
      if (from.select) from.select(); else getSelection().selectAllChildren(from);
      if (!document.execCommand('copy')) state = 'fail';
      button.focus();
    }
    button.classList.add(state);
    say(state === 'done' ? 'Copied' : 'Selected; press Ctrl+C to copy');
    setTimeout(() => button.classList.remove(state), 2000);
  }

  // Times come as UTC. data-t: ago (how long since or until), at (day and time), day, clock, both (to the second, UTC beside).
  const day = new Intl.DateTimeFormat(lang, { day: 'numeric', month: 'short', year: 'numeric' });
  const dayOnly = new Intl.DateTimeFormat(lang, { day: 'numeric', month: 'short' });
  const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const clockS = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const rel = new Intl.RelativeTimeFormat(lang, { numeric: 'auto', style: 'short' });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  function ago(at, now = Date.now()) {
    const s = (at - now) / 1000, a = Math.abs(s);
    if (a < 45) return s > 0 ? 'in a moment' : 'just now';
    if (a < 5400) return rel.format(Math.round(s / 60), 'minute');
    if (a < 129600) return rel.format(Math.round(s / 3600), 'hour');
    return rel.format(Math.round(s / 86400), 'day');
  }
  function time(el) {
    const at = new Date(el.dateTime), utc = el.dateTime.slice(11, 19) + ' UTC', kind = el.dataset.t;
    const local = day.format(at) + ', ' + (kind === 'both' ? clockS : clock).format(at);
    el.title = local + ' ' + zone + ' / ' + el.dateTime.slice(0, 10) + ' ' + utc;
    if (kind === 'both') el.textContent = local + (zone === 'UTC' ? ' UTC' : ' (' + utc + ')');
    else if (kind === 'day') el.textContent = day.format(at);
    else if (kind === 'clock') el.textContent = clockS.format(at);
    else if (kind === 'at') el.textContent = (at.getFullYear() === new Date().getFullYear() ? dayOnly : day).format(at) + ', ' + clock.format(at);
    else el.textContent = Math.abs(at - Date.now()) < 6 * 864e5 ? ago(at) : local;
  }
  const times = (from = document) => {
    $$('time[data-t]', from).forEach(time);
    $$('[data-zone]', from).forEach(el => { el.textContent = zone; });
  };

  // Replaces one part of the page by the same part of another answer; focus stays where it was.
  let pending;
  async function swap(url, id, how = {}) {
    const box = document.getElementById(id);
    if (!box) return;
    pending?.abort();
    pending = new AbortController();
    box.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch(url, { ...how.init, signal: pending.signal, headers: { 'X-Runhook-Console': '1', ...how.init?.headers } });
      const other = new DOMParser().parseFromString(await answer.text(), 'text/html'), fresh = other.getElementById(id);
      if (!fresh) { if (how.push) location.href = url; return; }
      const focused = box.contains(document.activeElement) && document.activeElement.id;
      box.replaceWith(fresh);
      if ($('.tallies', other)) $('.tallies')?.replaceWith($('.tallies', other));
      times(fresh);
      if (focused) document.getElementById(focused)?.focus();
      if (how.push) history.pushState({ id }, '', url);
      if (fresh.dataset.say) say(fresh.dataset.say);
    } catch (fault) {
      if (fault.name === 'AbortError') return;
      box.removeAttribute('aria-busy');
      say('The server did not answer. What you see is from before.');
    }
  }
  addEventListener('popstate', () => { const form = $('form[data-swap][method=get]'); if (form) { swap(location.href, form.dataset.swap); fill(form); } });
  function fill(form) {
    const values = new URLSearchParams(location.search);
    for (const el of form.elements) if (el.name) { if (el.type === 'checkbox') el.checked = values.has(el.name); else el.value = values.get(el.name) ?? ''; }
  }
  function filter(form) {
    const values = new URLSearchParams([...new FormData(form)].filter(([, v]) => v !== ''));
    return swap(location.pathname + (values.size ? '?' + values : ''), form.dataset.swap, { push: true });
  }

  // A run that is looked at: EventSource first; where a proxy holds the stream back, or ends it, long polls.
  function follow(box) {
    const url = box.dataset.live, sign = $('.live', box), field = {};
    $$('[data-f]', box).forEach(el => { (field[el.dataset.f] ||= []).push(el); });
    let last, lastTime, told = -1, ended = false, source;
    const rates = (box.dataset.rates || '').split(',').filter(Boolean).map(Number);
    const mark = (text, on) => { if (sign.textContent !== text) sign.textContent = text; sign.toggleAttribute('data-on', !!on); };
    const put = (name, text) => field[name]?.forEach(el => {
      if (el.textContent === text) return;
      el.textContent = text;
      const other = el.dataset.run && text.match(/^(.*?)\b(run (\d+))\b(.*)$/s);
      if (!other) return;
      const link = document.createElement('a');
      link.href = el.dataset.run + other[3];
      link.textContent = other[2];
      el.replaceChildren(other[1], link, other[4]);
    });
    function plot(rate) {
      rates.push(rate);
      if (rates.length > 60) rates.shift();
      put('Top', number.format(Math.max(...rates)));
      const top = Math.max(10, ...rates) * 1.1, points = rates.map((v, i) => (600 - (rates.length - 1 - i) * 10) + ' ' + (80 - v / top * 80).toFixed(1));
      $$('.plot path', box).forEach(p => p.setAttribute('d', p.matches('.area') ? 'M' + points[0].split(' ')[0] + ' 80L' + points.join('L') + 'L600 80Z' : 'M' + points.join('L')));
    }
    function show(doc) {
      const bar = $('progress', box);
      if (bar) bar.value = doc.PercentComplete;
      put('PercentComplete', Math.floor(doc.PercentComplete) + ' %');
      put('Message', doc.Message);
      for (const [name, value] of Object.entries(doc)) if (typeof value === 'number' && /^Rows|ErrorCount$/.test(name)) put(name, number.format(value));
      const at = Date.parse(doc.UpdatedOn);
      if (last && at > lastTime + 900) {
        const rate = Math.max(0, (doc.RowsRetrieved - last.RowsRetrieved) * 1000 / (at - lastTime));
        plot(rate);
        put('Rate', number.format(rate));
        const left = doc.RowCount > 0 && rate > 0 ? (doc.RowCount - doc.RowsRetrieved) / rate : 0;
        put('Left', left ? (left < 90 ? 'about ' + Math.max(1, Math.round(left)) + ' s left' : 'about ' + Math.round(left / 60) + ' min left') : '');
        last = doc; lastTime = at;
      } else if (!last) { last = doc; lastTime = at; }
      const step = Math.floor(doc.PercentComplete / 25);
      if (told < 0) told = step;
      else if (step > told && doc.Status !== 'D') { told = step; say(Math.floor(doc.PercentComplete) + ' percent, ' + number.format(doc.RowsProcessed) + ' rows'); }
      if (doc.Status !== box.dataset.status) {
        ended = doc.Status === 'D';
        source?.close();
        document.title = doc.StatusDescription + ': ' + document.title.replace(/^[^:]*: /, '');
        say('Run ' + doc.ImportId + ': ' + doc.StatusDescription + '. ' + doc.Message);
        const figure = $('.plot', box);
        swap(box.dataset.then || location.href, 'run').then(() => {
          const fresh = document.getElementById('run');
          if (figure && !$('.plot', fresh)) $('.counts', fresh)?.before(figure); // what was watched stays, so nothing below it moves
          start();
        });
      }
    }
    async function poll() {
      for (let pause = 1000, known = false; !ended && box.isConnected;) {
        try {
          const answer = await fetch(url, { headers: { Accept: 'application/json', ...(known && { Prefer: 'wait=25' }) } });
          if (answer.status === 401 || answer.status === 404 || answer.status === 410) return mark(answer.status === 401 ? 'Signed out' : 'No longer there');
          if (answer.status !== 200 && answer.status !== 202) throw answer.status;
          show(await answer.json());
          mark('Live, by polling', true);
          pause = 1000;
          known = true;
        } catch {
          mark('No connection, trying again');
          known = false;
          pause = Math.min(pause * 2, 30000);
        }
        await wait(pause);
      }
    }
    function listen() {
      source = new EventSource(url);
      let heard = false;
      const held = setTimeout(() => { if (!heard) { source.close(); poll(); } }, 6000);
      source.onmessage = event => { heard = true; clearTimeout(held); mark('Live', true); show(JSON.parse(event.data)); };
      source.onopen = () => { if (heard) mark('Live', true); };
      source.onerror = () => {
        if (ended) return source.close();
        mark('No connection, trying again');
        if (source.readyState === EventSource.CLOSED) { clearTimeout(held); poll(); }
      };
    }
    if (window.EventSource) listen(); else poll();
    addEventListener('pagehide', () => source?.close(), { once: true });
  }
  const start = () => $$('[data-live]').forEach(follow);

  // Lists: rows that are shown change in place; new ones are only counted, so that nothing moves under the reader.
  async function refresh(list) {
    if (document.hidden || !list.isConnected) return;
    const answer = await fetch(location.href, { headers: { 'X-Runhook-Console': '1' } }).catch(() => null);
    if (!answer?.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(list.id);
    let more = 0;
    for (const row of $$('tr[id]', fresh ?? document.createElement('i'))) {
      const old = document.getElementById(row.id);
      if (!old) more++;
      else if (old.dataset.v !== row.dataset.v && !old.contains(document.activeElement)) { old.replaceWith(row); times(row); }
    }
    const link = $('[data-more]', list);
    if (link && more) { link.textContent = more === 1 ? '1 new run' : more + ' new runs'; link.hidden = false; }
  }

  document.addEventListener('click', event => {
    const button = event.target.closest('[data-copy]');
    if (button) return copy(button);
    const link = event.target.closest('a[data-swap]');
    if (link && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
      event.preventDefault();
      swap(link.href, link.dataset.swap, { push: true }).then(() => { const form = $('form[data-swap]'); if (form) fill(form); });
      return;
    }
    const all = event.target.closest('[data-select]');
    if (all) all.select();
  });
  document.addEventListener('submit', event => {
    const form = event.target;
    if (form.getAttribute('aria-busy')) event.preventDefault(); // it is being sent
    else if (form.matches('[data-swap]')) { event.preventDefault(); filter(form); }
  });
  let typing;
  document.addEventListener('input', event => {
    const form = event.target.form;
    if (!form?.matches('[data-swap]')) return;
    clearTimeout(typing);
    typing = setTimeout(() => filter(form), event.target.matches('select, [type=checkbox], [type=radio]') ? 0 : 350);
  });
  // A task that is being made: each choice is answered with the page as it is then. What is typed meanwhile is kept by the
  // next one. A file is sent when it is chosen, unless it is too large.
  let looking;
  async function look(form) {
    looking?.abort();
    const mine = looking = new AbortController();
    try {
      const answer = await fetch(form.getAttribute('action'), { method: 'POST', body: new URLSearchParams(new FormData(form)), signal: mine.signal, headers: { 'X-Runhook-Console': '1' } });
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(form.dataset.look), box = document.getElementById(form.dataset.look);
      if (mine.signal.aborted) return;
      if (!fresh || !answer.ok) throw answer.status;
      const focused = document.activeElement?.id;
      box.replaceWith(fresh);
      if (focused) document.getElementById(focused)?.focus();
      if (fresh.dataset.say) say(fresh.dataset.say);
    } catch (fault) {
      if (fault.name !== 'AbortError') say('The preview was not made. What you see is from before; press Show the preview again.');
    }
  }
  document.addEventListener('change', event => {
    const form = event.target.form;
    if (form?.matches('[data-look]')) look(form);
    if (!event.target.matches('.drop input') || !event.target.files.length) return;
    const box = $('.problem', form), most = form.dataset.most * 1048576;
    box.hidden = event.target.files[0].size <= most;
    if (box.hidden) return form.requestSubmit();
    $('p', box).textContent = 'The file is larger than ' + form.dataset.most + ' MiB. Ask your administrator to put it into a folder of the server, or split it.';
    event.target.value = '';
  });
  for (const [kind, over] of [['dragenter', true], ['dragleave', false], ['drop', false]]) document.addEventListener(kind, event => event.target.closest?.('.drop')?.classList.toggle('over', over));
  document.addEventListener('keydown', event => {
    const open = event.key === 'Escape' && $('details.ask[open]');
    if (open) { open.open = false; $('summary', open).focus(); }
  });
  document.addEventListener('click', event => $$('details.ask[open]').forEach(d => { if (!d.contains(event.target)) d.open = false; }));

  // A sign-in link has its one-time code after #, which no server, proxy or log sees. The code leaves the address before
  // anything else, so that it stays in no history. A link that another site has led to is not followed by itself: that
  // site would decide who is signed in.
  const code = location.hash.slice(1), signIn = $('#signin');
  const isCode = /^[\w-]{43}$/.test(code);
  if (isCode) history.replaceState(null, '', location.pathname + location.search);
  if (signIn && isCode) {
    signIn.elements.code.value = code;
    if (signIn.matches('[data-direct]')) signIn.requestSubmit();
    else {
      $('#led').hidden = false;
      $('[data-again]')?.remove();
      $('button', signIn).focus();
    }
  } else if (isCode && $('#unused')) {
    $('#unused').hidden = false;
  } else if ($('[data-again]')) {
    location.replace(location.pathname + location.search); // as a page of this server, to which the cookie is sent
  }

  // What a link leads to is opened.
  const unfold = () => { const at = document.getElementById(location.hash.slice(1)); if (at?.matches('details')) at.open = true; };
  addEventListener('hashchange', unfold);
  unfold();

  times();
  start();
  setInterval(() => $$('time[data-t=ago]').forEach(time), 30000);
  $$('[data-refresh]').forEach(list => setInterval(() => refresh(document.getElementById(list.id) || list), list.dataset.refresh * 1000));
})();
