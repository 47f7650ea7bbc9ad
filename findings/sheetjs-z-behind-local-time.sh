#!/usr/bin/env bash
# SheetJS (npm xlsx 0.18.5): with cellDates, a Date is written with a Z behind a time that is not UTC.
#
# The cell has the type "d" and ISO 8601 text: the local time, followed by a Z. In New York, half past six in
# the evening becomes 18:30Z, which would be half past one in the afternoon there. Without cellDates the same
# Date is the number of days of 18:30. A reader that takes the Z for UTC moves the time by the zone of the
# machine that wrote the workbook, and a day becomes the day before. Spreadsheet programs show 18:30.
#
# Seen: the lines of "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-fund --no-audit xlsx@0.18.5 >/dev/null
cat >write.js <<'JS'
const sheets = require('xlsx')
const date = new Date(2026, 0, 31, 18, 30)
for (const cellDates of [false, true]) {
  const book = sheets.utils.book_new()
  sheets.utils.book_append_sheet(book, { '!ref': 'A1', A1: { t: 'd', v: date, z: 'yyyy-mm-dd hh:mm' } }, 'A')
  const parts = sheets.CFB.read(sheets.write(book, { type: 'buffer', bookType: 'xlsx', cellDates }), { type: 'buffer' })
  const cell = Buffer.from(sheets.CFB.find(parts, 'sheet1.xml').content).toString().match(/<c r="A1".*?<\/c>/)[0]
  console.log(process.env.TZ, date.toISOString(), cell.replace(/ s="\d+"/, ''))
}
JS
seen=$(TZ=UTC node write.js && TZ=America/New_York node write.js)
echo "$seen"
want='UTC 2026-01-31T18:30:00.000Z <c r="A1"><v>46053.770833333336</v></c>
UTC 2026-01-31T18:30:00.000Z <c r="A1" t="d"><v>2026-01-31T18:30:00.000Z</v></c>
America/New_York 2026-01-31T23:30:00.000Z <c r="A1"><v>46053.770833333336</v></c>
America/New_York 2026-01-31T23:30:00.000Z <c r="A1" t="d"><v>2026-01-31T18:30:00.000Z</v></c>'
[ "$seen" = "$want" ]
