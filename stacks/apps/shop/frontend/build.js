'use strict';

const fs = require('node:fs');
const path = require('node:path');
const page = require('page');

const below = (...parts) => path.join(__dirname, ...parts);
const version = fs.readFileSync(below('..', 'VERSION'), 'utf8').trim();

fs.mkdirSync(below('dist'), { recursive: true });
const source = fs.readFileSync(below('src', 'index.html'), 'utf8');
fs.writeFileSync(below('dist', 'index.html'), page.fill(source, { version }));
console.log(`dist/index.html: version ${version}`);
