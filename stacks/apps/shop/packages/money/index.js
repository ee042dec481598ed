'use strict';

/** An amount in cents as text with its currency: 420 becomes "4.20 EUR". */
exports.format = (cents, currency = 'EUR') => `${(cents / 100).toFixed(2)} ${currency}`;
