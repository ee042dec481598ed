CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    goods text NOT NULL,
    cents integer NOT NULL CHECK (cents >= 0)
);
INSERT INTO orders (goods, cents) VALUES ('bread', 420), ('olives', 299);

CREATE TABLE reports (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    written timestamptz NOT NULL DEFAULT now(),
    orders bigint NOT NULL,
    cents bigint NOT NULL
);
