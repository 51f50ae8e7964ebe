-- What PostgreSQL lacks, or has with another meaning than rules. A text may hold the
-- pairs that stand for U+0000 and U+0001: U+0001 U+FFFE and U+0001 U+FFFF. Each
-- function is null where an argument is.

CREATE OR REPLACE FUNCTION galley_plain(x text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN replace(replace(x, E'\x01\uFFFE', E'\x01a'), E'\x01\uFFFF', E'\x01b');
END $$;

-- A part that begins as the second half of a pair does must not be found in one.
CREATE OR REPLACE FUNCTION galley_contains(x text, y text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF left(y, 1) IN (E'\uFFFE', E'\uFFFF') THEN
		RETURN strpos(galley_plain(x), galley_plain(y)) > 0;
	END IF;
	RETURN strpos(x, y) > 0;
END $$;

CREATE OR REPLACE FUNCTION galley_ends(x text, y text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF y = '' THEN
		RETURN TRUE;
	END IF;
	RETURN right(x, char_length(y)) = y AND NOT (left(y, 1) IN (E'\uFFFE', E'\uFFFF')
		AND substr(x, char_length(x) - char_length(y), 1) = E'\x01');
END $$;

CREATE OR REPLACE FUNCTION galley_matches(x text, plain text, exact text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF strpos(x, E'\x01') = 0 THEN
		RETURN x ~ plain;
	END IF;
	RETURN x ~ exact;
END $$;

CREATE OR REPLACE FUNCTION galley_items(x text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF json_typeof(x::json) = 'array' THEN
		RETURN json_array_length(x::json);
	END IF;
	RETURN 0;
END $$;

-- The item is written as it stands in the list.
CREATE OR REPLACE FUNCTION galley_has(list text, item text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN json_typeof(list::json) = 'array' AND EXISTS (
		SELECT 1 FROM json_array_elements(list::json) e WHERE e::text = item COLLATE "C");
END $$;

CREATE OR REPLACE FUNCTION galley_has_number(list text, item float8) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN json_typeof(list::json) = 'array' AND EXISTS (
		SELECT 1 FROM json_array_elements(list::json) e
		WHERE CASE WHEN json_typeof(e) = 'number' THEN e::text::float8 = item END);
END $$;

CREATE OR REPLACE FUNCTION galley_quoted(x text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN replace(replace(to_json(x)::text, E'\\u0001\uFFFE', '\u0000'),
		E'\\u0001\uFFFF', '\u0001');
END $$;

-- Days since 1970-01-01 and milliseconds of the day.
CREATE OR REPLACE FUNCTION galley_moment(x bigint) RETURNS timestamp
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	rest bigint := (x % 86400000 + 86400000) % 86400000;
BEGIN
	RETURN date '1970-01-01' + ((x - rest) / 86400000)::int
		+ rest * interval '1 millisecond';
END $$;

CREATE OR REPLACE FUNCTION galley_part(part text, x bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	t timestamp := galley_moment(x);
	n bigint;
BEGIN
	CASE part
	WHEN 'getFullYear' THEN
		n := extract(year FROM t);
		RETURN CASE WHEN n < 0 THEN n + 1 ELSE n END;
	WHEN 'getMonth' THEN RETURN extract(month FROM t) - 1;
	WHEN 'getDate' THEN RETURN extract(day FROM t);
	WHEN 'getDayOfMonth' THEN RETURN extract(day FROM t) - 1;
	WHEN 'getDayOfWeek' THEN RETURN extract(dow FROM t);
	WHEN 'getDayOfYear' THEN RETURN extract(doy FROM t) - 1;
	END CASE;
END $$;

-- The clock of a zone: its name, or an offset such as +02:00. It is null where there is
-- no such zone.
CREATE OR REPLACE FUNCTION galley_local(x bigint, zone text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	h bigint;
	m bigint;
	t timestamp;
BEGIN
	IF strpos(zone, ':') > 0 THEN
		IF zone !~ '^[+-]?[0-9]{1,9}:[+-]?[0-9]{1,9}$' THEN
			RETURN NULL;
		END IF;
		h := split_part(zone, ':', 1)::bigint;
		m := split_part(zone, ':', 2)::bigint;
		RETURN x + (h * 60 + CASE WHEN h < 0 THEN -m ELSE m END) * 60000;
	END IF;
	t := galley_moment(x);
	t := t AT TIME ZONE 'UTC' AT TIME ZONE zone;
	RETURN round(extract(epoch FROM date_trunc('second', t))::numeric * 1000)
		+ (x % 1000 + 1000) % 1000;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION galley_time(x bigint, digits boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	out text := lpad(galley_part('getFullYear', x)::text, 4, '0')
		|| to_char(galley_moment(x), '-MM-DD"T"HH24:MI:SS.MS');
BEGIN
	IF NOT digits THEN
		out := rtrim(rtrim(out, '0'), '.');
		-- An hour that ends with 0 has lost it, if there was no fraction.
		IF char_length(out) < 19 THEN
			out := rpad(out, 19, '0');
		END IF;
	END IF;
	RETURN out || 'Z';
END $$;

CREATE OR REPLACE FUNCTION galley_day(x bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN lpad(galley_part('getFullYear', x)::text, 4, '0')
		|| to_char(galley_moment(x), '-MM-DD');
END $$;

CREATE OR REPLACE FUNCTION galley_span(x bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	n numeric := abs(x::numeric);
BEGIN
	IF x = 0 THEN
		RETURN '0s';
	END IF;
	RETURN CASE WHEN x < 0 THEN '-' ELSE '' END
		|| CASE WHEN n >= 3600000 THEN div(n, 3600000) || 'h' ELSE '' END
		|| CASE WHEN n % 3600000 >= 60000 THEN div(n % 3600000, 60000) || 'm' ELSE '' END
		|| CASE WHEN n % 60000 >= 1000 THEN div(n % 60000, 1000) || 's' ELSE '' END
		|| CASE WHEN n % 1000 >= 1 THEN n % 1000 || 'ms' ELSE '' END;
END $$;

-- A whole number within bounds, or null.
CREATE OR REPLACE FUNCTION galley_within(n numeric, low bigint, high bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF n BETWEEN low AND high THEN
		RETURN n;
	END IF;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION galley_mod(x bigint, y bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF y = 0 OR (y = -1 AND x = -9223372036854775808) THEN
		RETURN NULL;
	END IF;
	RETURN x % y;
END $$;

CREATE OR REPLACE FUNCTION galley_int(x float8) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF x > -9223372036854775808::float8 AND x < 9223372036854775808::float8 THEN
		RETURN trunc(x);
	END IF;
	RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION galley_int_text(x text) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF x !~ '^[+-]?[0-9]+$' OR x ~ '\n' OR char_length(ltrim(x, '+-0')) > 19 THEN
		RETURN NULL;
	END IF;
	RETURN galley_within(x::numeric, -9223372036854775808, 9223372036854775807);
END $$;

-- 0x1.8p3: sixteen digits, and a power of two.
CREATE OR REPLACE FUNCTION galley_double_hex(x text) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	parts text[] := regexp_match(x, '^[+-]?0[xX]_?([0-9a-fA-F_]*)\.?([0-9a-fA-F_]*)[pP]([+-]?[0-9_]+)$');
	digits text;
	n numeric := 0;
	e int;
BEGIN
	digits := lower(replace(parts[1] || parts[2], '_', ''));
	IF digits IS NULL OR digits = '' OR char_length(digits) > 300 OR x ~ '\n|__|_$|_[.pP]|[.pP+-]_' THEN
		RETURN NULL;
	END IF;
	e := least(greatest(replace(parts[3], '_', '')::numeric, -5000), 5000)
		- 4 * char_length(replace(parts[2], '_', ''));
	FOR i IN 1 .. char_length(digits) LOOP
		n := n * 16 + strpos('0123456789abcdef', substr(digits, i, 1)) - 1;
	END LOOP;
	WHILE e > 0 AND n > 0 LOOP
		n := n * 2;
		e := e - 1;
	END LOOP;
	WHILE e < 0 AND n > 0 LOOP
		n := n * 0.5;
		e := e + 1;
	END LOOP;
	RETURN CASE WHEN left(x, 1) = '-' THEN -n::float8 ELSE n::float8 END;
EXCEPTION WHEN numeric_value_out_of_range THEN
	IF n > 1 THEN
		RETURN NULL;
	END IF;
	RETURN CASE WHEN left(x, 1) = '-' THEN '-0' ELSE '0' END::float8;
END $$;

CREATE OR REPLACE FUNCTION galley_double_text(x text) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF x ~* '^[+-]?0x' THEN
		RETURN galley_double_hex(x);
	END IF;
	IF x ~* '^[+-]?inf(inity)?$' AND x !~ '\n' THEN
		RETURN CASE WHEN left(x, 1) = '-' THEN '-Infinity' ELSE 'Infinity' END::float8;
	END IF;
	IF x !~ '^[+-]?([0-9](_?[0-9])*\.?([0-9](_?[0-9])*)?|\.[0-9](_?[0-9])*)([eE][+-]?[0-9](_?[0-9])*)?$'
		OR x ~ '\n' THEN
		RETURN NULL;
	END IF;
	RETURN replace(x, '_', '')::float8;
EXCEPTION WHEN numeric_value_out_of_range THEN
	-- What is too small is zero, what is too large is nothing.
	IF split_part(lower(x), 'e', 2) LIKE '-%' OR x ~ '^[+-]?0*\.' THEN
		RETURN CASE WHEN left(x, 1) = '-' THEN '-0' ELSE '0' END::float8;
	END IF;
	RETURN NULL;
END $$;

-- Shortest digits, with an exponent where the number is less than 0.0001 or has more
-- than six digits before the point.
CREATE OR REPLACE FUNCTION galley_string_float(x float8) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	shown text := abs(x)::text;
	mantissa text;
	digits text;
	whole text;
	e int;
	sign text := CASE WHEN x::text LIKE '-%' THEN '-' ELSE '' END;
BEGIN
	IF x IN ('Infinity', '-Infinity') THEN
		RETURN CASE WHEN x > 0 THEN '+Inf' ELSE '-Inf' END;
	END IF;
	IF x = 0 THEN
		RETURN sign || '0';
	END IF;
	mantissa := split_part(shown, 'e', 1);
	e := coalesce(nullif(split_part(shown, 'e', 2), ''), '0')::int;
	whole := split_part(mantissa, '.', 1);
	digits := whole || split_part(mantissa, '.', 2);
	e := e + char_length(whole) - 1;
	e := e - (char_length(digits) - char_length(ltrim(digits, '0')));
	digits := rtrim(ltrim(digits, '0'), '0');
	IF e < -4 OR e >= 6 THEN
		RETURN sign || left(digits, 1)
			|| CASE WHEN char_length(digits) > 1 THEN '.' || substr(digits, 2) ELSE '' END
			|| 'e' || CASE WHEN e < 0 THEN '-' ELSE '+' END || CASE WHEN abs(e) < 10 THEN '0' ELSE '' END || abs(e);
	END IF;
	IF e < 0 THEN
		RETURN sign || '0.' || repeat('0', -e - 1) || digits;
	END IF;
	IF char_length(digits) <= e + 1 THEN
		RETURN sign || rpad(digits, e + 1, '0');
	END IF;
	RETURN sign || left(digits, e + 1) || '.' || substr(digits, e + 2);
END $$;

CREATE OR REPLACE FUNCTION galley_string_span(x bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	RETURN ((x / 1000)::float8 + (x % 1000 * 1000000)::float8 / 1e9)::text || 's';
END $$;

-- Floats as processors compute them: what is too large is infinite, what is too small
-- is zero, and what is no number is null.
CREATE OR REPLACE FUNCTION galley_mul(x float8, y float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF (x = 0 AND abs(y) = 'Infinity') OR (y = 0 AND abs(x) = 'Infinity') THEN
		RETURN NULL;
	END IF;
	RETURN x * y;
EXCEPTION WHEN numeric_value_out_of_range THEN
	RETURN CASE WHEN abs(x) > 1 AND abs(y) > 1 THEN 'Infinity' ELSE '0' END::float8
		* sign(x) * sign(y);
END $$;

CREATE OR REPLACE FUNCTION galley_add(x float8, y float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
	IF abs(x) = 'Infinity' AND y = -x THEN
		RETURN NULL;
	END IF;
	RETURN x + y;
EXCEPTION WHEN numeric_value_out_of_range THEN
	RETURN sign(x) * 'Infinity'::float8;
END $$;

CREATE OR REPLACE FUNCTION galley_div(x float8, y float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	s float8 := CASE WHEN (x::text LIKE '-%') = (y::text LIKE '-%') THEN 1 ELSE -1 END;
BEGIN
	IF (x = 0 AND y = 0) OR (abs(x) = 'Infinity' AND abs(y) = 'Infinity') THEN
		RETURN NULL;
	END IF;
	IF y = 0 THEN
		RETURN s * 'Infinity'::float8;
	END IF;
	RETURN x / y;
EXCEPTION WHEN numeric_value_out_of_range THEN
	RETURN s * CASE WHEN abs(x) > abs(y) THEN 'Infinity' ELSE '0' END::float8;
END $$;

-- How a whole number stands to a float: -1 before it, 0 at it, 1 behind it. Neither is
-- rounded.
CREATE OR REPLACE FUNCTION galley_order(x bigint, y float8) RETURNS int
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
	whole bigint;
BEGIN
	IF y >= 9223372036854775808::float8 THEN
		RETURN -1;
	ELSIF y < -9223372036854775808::float8 THEN
		RETURN 1;
	END IF;
	whole := floor(y);
	RETURN CASE WHEN x > whole THEN 1 WHEN x < whole OR y > floor(y) THEN -1 ELSE 0 END;
END $$;
