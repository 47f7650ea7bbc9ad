// Every page works without this script. It adds the reader's own times, and signs in by a link.
(() => {
  'use strict';
  const $ = (s, from = document) => from.querySelector(s);
  const $$ = (s, from = document) => [...from.querySelectorAll(s)];
  const lang = 'en-GB'; // the words are English; day before month is read everywhere

  // Times come as UTC. data-t: both (to the second, UTC beside).
  const day = new Intl.DateTimeFormat(lang, { day: 'numeric', month: 'short', year: 'numeric' });
  const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const el of $$('time[data-t]')) {
    const at = new Date(el.dateTime), utc = el.dateTime.slice(11, 19) + ' UTC', local = day.format(at) + ', ' + clock.format(at);
    el.title = local + ' ' + zone + ' / ' + el.dateTime.slice(0, 10) + ' ' + utc;
    el.textContent = local + (zone === 'UTC' ? ' UTC' : ' (' + utc + ')');
  }
  for (const el of $$('[data-zone]')) el.textContent = zone;

  // A sign-in link has its one-time code after #, which no server, proxy or log sees. The code leaves the address before
  // anything else, so that it stays in no history. A link that another site has led to is not followed by itself: that
  // site would decide who is signed in.
  const code = location.hash.slice(1), form = $('#signin');
  const isCode = /^[\w-]{43}$/.test(code);
  if (isCode) history.replaceState(null, '', location.pathname + location.search);
  if (form && isCode) {
    form.elements.code.value = code;
    if (form.matches('[data-direct]')) form.requestSubmit();
    else {
      $('#led').hidden = false;
      $('[data-again]')?.remove();
      $('button', form).focus();
    }
  } else if (isCode) {
    $('#unused').hidden = false;
  } else if ($('[data-again]')) {
    location.replace(location.pathname + location.search); // as a page of this server, to which the cookie is sent
  }
})();
