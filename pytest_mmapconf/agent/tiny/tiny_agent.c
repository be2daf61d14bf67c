/* The tiny agent: PROTOCOL.md for systems without a libc.  Freestanding C11; everything of the system is in a port
 * (tiny.h).  It makes one request at a time, allocates nothing, and answers what it does not know with "unsupported". */
#include "tiny.h"

unsigned char tiny_buffer[TINY_DATA];
tiny_number tiny_second;
const char *tiny_kind = "regular";

static char line[TINY_LINE], out[TINY_LINE];
static unsigned long used;

/* ------------------------------------------------------------------------------------------------------------- text */

static int equal(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

static void put(const char *text)
{
	while (*text && used < sizeof out - 1)
		out[used++] = *text++;
}

static void put_number(tiny_address number, unsigned base)
{
	char digits[24];
	int at = sizeof digits;
	digits[--at] = 0;
	do
		digits[--at] = "0123456789abcdef"[number % base];
	while (number /= base);
	put(digits + at);
}

static void put_signed(tiny_number number)
{
	if (number < 0)
		put("-");
	put_number(number < 0 ? 0 - (tiny_address)number : (tiny_address)number, 10);
}

static void put_bytes(const unsigned char *bytes, unsigned long count)
{
	for (unsigned long at = 0; at < count; at++)
		put((char[]){"0123456789abcdef"[bytes[at] >> 4], "0123456789abcdef"[bytes[at] & 15], 0});
}

/* Byte `at` of a part that repeats its first `width` bytes or, as numbers, counts on from them (PROTOCOL.md, `runs`). */
static unsigned char next_byte(const unsigned char *part, unsigned long at, unsigned long width, int is_number)
{
	unsigned long lower = at - width + 1;
	while (is_number && lower % width && part[lower] == 255)
		lower++;
	return part[at - width] + (is_number && lower % width == 0);
}

/* How many bytes are one part that is shorter than their digits; 0: none are. */
static unsigned long find_part(const unsigned char *data, unsigned long count, unsigned long *width, int *is_number)
{
	for (unsigned long way = 0; way <= 17; way++) { /* numbers of 1 and 4 bytes, patterns of 1 to 16 bytes */
		unsigned long at = *width = way ? way == 1 ? 4 : way - 1 : 1;
		*is_number = way < 2;
		while (at < count && data[at] == next_byte(data, at, *width, *is_number))
			at++;
		if (at >= 16 && at >= 2 * *width)
			return at;
	}
	return 0;
}

/* As many parts as fit into the line; a comma at the end says that others follow. */
static void put_parts(const unsigned char *data, unsigned long count)
{
	while (count) {
		long room = ((long)(tiny_line - used) - 2) / 2;
		unsigned long pairs = 0, length = 0, width = 0;
		int is_number = 0;
		while (pairs < count && (long)pairs < room && !(length = find_part(data + pairs, count - pairs, &width, &is_number)))
			pairs++;
		if (pairs)
			put_bytes(data, length = pairs);
		else if (room < 23)
			break;
		else
			put_bytes(data, width), put(is_number ? "+" : "*"), put_number(length, 10);
		data += length, count -= length;
		put(count ? "," : "");
	}
}

static void end_line(void)
{
	out[used++] = '\n';
	tiny_write(out, used);
	used = 0;
}

static int digit(char letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	letter |= 'a' - 'A';
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : 16;
}

static int parse_number(const char *word, tiny_number *number)
{
	int minus = *word == '-', base = 10;
	tiny_address value = 0;
	word += minus;
	if (word[0] == '0' && word[1] == 'x')
		base = 16, word += 2;
	if (!*word)
		return 0;
	for (; *word; word++) {
		if (digit(*word) >= base)
			return 0;
		value = value * base + digit(*word);
	}
	*number = minus ? (tiny_number)(0 - value) : (tiny_number)value;
	return 1;
}

static int parse_bytes(const char *word, unsigned long *count)
{
	for (*count = 0; *word;) {
		unsigned char *part = tiny_buffer + *count;
		unsigned long left = tiny_data - *count, width = 0, end = 0;
		for (; digit(word[0]) < 16; word += 2) {
			if (width == left || digit(word[1]) > 15)
				return 0;
			part[width++] = digit(word[0]) << 4 | digit(word[1]);
		}
		int is_number = *word == '+';
		if (*word != '*' && !is_number)
			end = width;
		else
			for (word++; digit(*word) < 10 && end <= left; word++)
				end = end * 10 + digit(*word);
		if (!width || end < width || end > left || (*word == ',' ? !*++word : *word != 0))
			return 0;
		for (unsigned long at = width; at < end; at++)
			part[at] = next_byte(part, at, width, is_number);
		*count += end;
	}
	return 1;
}

static void decode(char *path) /* %XX in place */
{
	char *to = path;
	for (; *path; path++)
		if (*path == '%' && path[1] && path[2])
			*to++ = digit(path[1]) << 4 | digit(path[2]), path += 2;
		else
			*to++ = *path;
	*to = 0;
}

/* The next field; the rest of the line begins after it. */
static char *field(char **rest)
{
	char *word = *rest, *at = word;
	while (*at && *at != ' ')
		at++;
	*rest = *at ? at + 1 : at;
	*at = 0;
	return word;
}

/* ---------------------------------------------------------------------------------------------------------- requests */

static void put_fault(const struct tiny_fault *fault)
{
	put("fault "), put(fault->signal), put(" "), put(fault->code), put(" ");
	if (fault->has_address)
		put("0x"), put_number(fault->address, 16);
	else
		put("-");
}

/* load ADDR LENGTH; store ADDR BYTES: single bytes from the lowest address up. */
static void access_memory(int is_store, char *rest)
{
	tiny_number address, length = 0;
	unsigned long count = 0;
	struct tiny_fault fault = {"-", "-", 0, 0};
	if (!parse_number(field(&rest), &address) ||
	    !(is_store ? parse_bytes(field(&rest), &count) : parse_number(field(&rest), &length)) ||
	    (!is_store && (length < 0 || (count = length) > tiny_data))) {
		put("bad an argument cannot be understood");
		return;
	}
	for (unsigned long at = 0; at < count; at++) {
		if (is_store ? tiny_store(address + at, tiny_buffer[at], &fault)
			     : tiny_load(address + at, &tiny_buffer[at], &fault)) {
			put_fault(&fault);
			return;
		}
	}
	put("ok");
	if (!is_store && count)
		put(" "), put_parts(tiny_buffer, count);
}

static void make_call(const struct tiny_call *call, char *rest)
{
	tiny_number arguments[8], result;
	unsigned long length;
	int count = 0;
	for (const char *kind = call->arguments; *kind; kind++) {
		char *word = field(&rest);
		if (*kind == 'p') {
			decode(word);
			arguments[count++] = (tiny_number)word;
		} else if (*kind == 'd') {
			if (!parse_bytes(word, &length))
				goto bad;
			arguments[count++] = (tiny_number)tiny_buffer;
			arguments[count++] = length;
		} else if (!parse_number(word, &arguments[count++])) {
			goto bad;
		}
	}
	result = call->make(arguments);
	if (result == TINY_LACKS) {
		put("unsupported the system does not define a flag or a name of this request");
		return;
	}
	if (result < 0 && (call->result != 'n' || *tiny_error(result))) {
		put("error "), put(tiny_error(result));
		return;
	}
	put("ok");
	if (call->result == 'k')
		put(" "), put(tiny_kind);
	if (call->result == 'n' || call->result == 'k' || call->result == '2')
		put(" "), put_signed(result);
	if (call->result == '2')
		put(" "), put_signed(tiny_second);
	if (call->result == 'b' && result)
		put(" "), put_parts(tiny_buffer, result);
	return;
bad:
	put("bad an argument cannot be understood");
}

static void answer_request(long number, char *rest)
{
	const char *verb = field(&rest);
	const struct tiny_call *call = tiny_calls;
	while (call->verb && !equal(call->verb, verb))
		call++;
	used = 0, put_signed(number), put(" "); /* a fork has begun an answer */
	if (equal(verb, "load") || equal(verb, "store"))
		access_memory(verb[0] == 's', rest);
	else if (call->verb)
		make_call(call, rest);
	else
		put("unsupported this agent does not know the verb");
	end_line();
}

static void supervise(const char *verb)
{
	put("0 ");
	if (equal(verb, "boot")) {
		const char *folder = tiny_boot();
		put(folder ? "ok " : "error EIO"), put(folder ? folder : "");
	} else if (equal(verb, "spawn")) {
		long number = tiny_spawn();
		if (number > 0)
			put("ok "), put_signed(number);
		else if (number == TINY_LACKS)
			put("unsupported the system has one process");
		else
			put("error "), put(tiny_error(number));
	} else if (equal(verb, "end")) {
		tiny_end(), put("ok");
	} else {
		put("unsupported this agent does not know the verb");
	}
	end_line();
}

static int read_line(void)
{
	unsigned long length = 0;
	int byte;
	while ((byte = tiny_read_byte()) != '\n') {
		if (byte < 0)
			return 0;
		if (byte != '\r' && length < tiny_line - 1)
			line[length++] = byte;
	}
	line[length] = 0;
	return 1;
}

void tiny_answer_requests(long number)
{
	while (read_line())
		answer_request(number, line);
}

int tiny_main(void)
{
	put("mmapconf 1 "), put(tiny_facts);
	put(" runs=both line="), put_number(tiny_line, 10);
	put(" data="), put_number(tiny_data, 10);
	end_line();
	while (read_line()) {
		char *rest = line;
		tiny_number number;
		if (!*line)
			continue;
		if (!parse_number(field(&rest), &number) || !*rest)
			put("0 bad a line is a process's number, a verb, and its arguments"), end_line();
		else if (number == 0)
			supervise(field(&rest));
		else {
			enum tiny_where where = tiny_process(number, rest);
			if (where == TINY_HERE)
				answer_request(number, rest);
			if (where == TINY_NONE)
				put_signed(number), put(" bad no such process"), end_line();
		}
	}
	tiny_end();
	return 0;
}
