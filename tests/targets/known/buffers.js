// Buffers of requests: `node buffers.js leaks|sound`. The sound one keeps the last hundred.
'use strict';

const leaks = process.argv[2] === 'leaks';
const kept = [];
let number = 0;

setInterval(() => {
  for (let n = 0; n < 2; n++) {
    kept.push(Buffer.alloc(20000 + (number % 50)));
    if (!leaks && kept.length > 100) kept.shift();
    JSON.parse(JSON.stringify({ number, text: 'x'.repeat(500) }));
    number++;
  }
  if (number === 1000) console.log('ready');
}, 10);
