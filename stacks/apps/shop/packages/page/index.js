'use strict';

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escape = (text) => String(text).replace(/[&<>"']/g, (char) => escapes[char]);

/** Fills each {{place}} of a page with its escaped value; a place without a value is an error. */
exports.fill = (page, values) =>
  page.replace(/\{\{(\w+)\}\}/g, (_, place) => {
    if (!(place in values)) throw new Error(`the page names {{${place}}}, which has no value`);
    return escape(values[place]);
  });
