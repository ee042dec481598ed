'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const money = require('money');
const store = require('./store');

const version = fs.readFileSync(path.join(__dirname, '..', 'VERSION'), 'utf8').trim();
const port = Number(process.env.PORT || 3001);

const overview = () => {
  const { schema, goods = [] } = store.read();
  return {
    app: 'shop',
    version,
    env: process.env.APP_ENV || null,
    greeting: process.env.GREETING || null,
    schema,
    goods: goods.map(({ name, cents }) => `${name} ${money.format(cents)}`),
  };
};

const answers = {
  '/': () => ['application/json', `${JSON.stringify(overview())}\n`],
  '/healthz': () => ['text/plain', 'ok\n'],
};

const server = http.createServer((request, response) => {
  const answer = answers[request.url];
  if (!answer) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('not found\n');
    return;
  }
  try {
    const [type, body] = answer();
    response.writeHead(200, { 'content-type': type }).end(body);
  } catch (error) {
    console.error(error);
    response.writeHead(500, { 'content-type': 'text/plain' }).end('internal error\n');
  }
});

server.listen(port, () => console.log(`shop ${version} listens on ${port}`));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
