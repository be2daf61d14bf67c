/* What a port of the tiny agent has to fill in.  Only the first two functions are required; a call that is missing from
 * `tiny_calls` is unsupported, and so is everything that needs it. */
#ifndef TINY_H
#define TINY_H

enum { TINY_LINE = 4096, TINY_DATA = 4096 }; /* defaults of the two limits below */

/* ---- numbers of requests: as wide as an address */

#ifdef _WIN64 /* where long has 32 bits */
typedef long long tiny_number;
typedef unsigned long long tiny_address;
#else
typedef long tiny_number;
typedef unsigned long tiny_address;
#endif

/* ---- the stream: required */

int tiny_read_byte(void);                         /* the next byte, or -1 at the end */
void tiny_write(const char *text, unsigned long); /* all of it */

/* ---- facts */

extern const char *tiny_facts;          /* "page=4096 bits=64 system=..." for the greeting, see PROTOCOL.md */
extern const unsigned long tiny_line;   /* the longest line, with its newline: at most TINY_LINE */
extern const unsigned long tiny_data;   /* the most bytes of a load, store, pread, pwrite: up to TINY_DATA */

/* ---- processes */

const char *tiny_boot(void);            /* ends everything and starts afresh: the path of an empty directory; 0: failed */
void tiny_end(void);                    /* ends every process, removes every file */
long tiny_spawn(void);                  /* the number of a new process, from 1 on; below 0: failed; TINY_LACKS: no more */
enum tiny_where { TINY_HERE, TINY_ELSEWHERE, TINY_NONE };
enum tiny_where tiny_process(long number, char *request);
/* Makes `number` the process that calls and accesses are made in.  TINY_ELSEWHERE: the request was passed on, and the
 * process itself answers by tiny_answer_requests; TINY_NONE: there is no such process. */
void tiny_answer_requests(long number); /* the agent's: answers as a process, until the stream of requests ends */

/* ---- calls: one entry for each verb, ended by an entry without name */

struct tiny_call {
	const char *verb;
	const char *arguments; /* n: a number; p: a path; d: bytes (address, then length) */
	char result;           /* n: a number; -: nothing; 2: it and tiny_second; b: as many bytes of tiny_buffer;
	                        * k: tiny_kind and the size */
	tiny_number (*make)(const tiny_number *arguments); /* below 0: failed; TINY_LACKS: the system does not have what was asked for */
};
#define TINY_LACKS (-0x7ffffffe)
extern const struct tiny_call tiny_calls[];
extern unsigned char tiny_buffer[TINY_DATA];
extern tiny_number tiny_second;
extern const char *tiny_kind;            /* of a file, as fstat answers it */
const char *tiny_error(tiny_number result); /* the errno's name of a failed call; "-" where the system has none */

/* ---- accesses */

struct tiny_fault {
	const char *signal, *code; /* by name; "-" where the system has none */
	tiny_address address;
	int has_address;
};
int tiny_load(tiny_address address, unsigned char *byte, struct tiny_fault *); /* 1: it has faulted */
int tiny_store(tiny_address address, unsigned char byte, struct tiny_fault *);

#endif
