'use strict';

// Applies each migration once, in the order of its number. A migration only adds: an older version of the service must
// still be able to read what it leaves, because going back to that version does not take data back.

const fs = require('node:fs');
const path = require('node:path');
const store = require('./store');

const folder = path.join(__dirname, 'migrations');
const number = (name) => Number.parseInt(name, 10);
const names = fs.readdirSync(folder).sort((a, b) => number(a) - number(b));

let content = store.read();
const before = content.schema;
for (const name of names.filter((name) => number(name) > before)) {
  content = { ...require(path.join(folder, name))(content), schema: number(name) };
  store.write(content);
  console.log(`applied ${name}`);
}
console.log(`schema ${content.schema} (was ${before})`);
