'use strict';

const fs = require('node:fs');
const path = require('node:path');

const folder = process.env.DATA_DIR || path.join(__dirname, 'data');
const file = path.join(folder, 'data.json');

/** What the shop knows; `schema` is the number of the last migration. */
exports.read = () => {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return { schema: 0 };
    throw error;
  }
};

/** Replaces it whole: a reader sees the old or the new text, never half of one. */
exports.write = (content) => {
  fs.mkdirSync(folder, { recursive: true });
  const staged = `${file}.new`;
  const handle = fs.openSync(staged, 'w');
  fs.writeSync(handle, `${JSON.stringify(content, null, 2)}\n`);
  fs.fsyncSync(handle);
  fs.closeSync(handle);
  fs.renameSync(staged, file);
};
