'use strict';

module.exports = (content) => ({
  ...content,
  goods: [
    { name: 'bread', cents: 420 },
    { name: 'olives', cents: 299 },
  ],
});
