/* A target of libFuzzer: the parser of the agent in C.  `fuzz_parser.py` builds and runs it.
 *
 * Each input is a line: once a request, once the calls of a request `together`.  What the parser hands out is read in
 * full, so that AddressSanitizer sees an argument that is longer than its memory.  No call is made. */

#define main agent_main
#include "mmap_agent.c"
#undef main

static volatile unsigned char sink;

static void read_arguments(const struct verb *verb, const struct argument *arguments)
{
    for (size_t i = 0; i < strlen(verb->form); i++)
        if (verb->form[i] == 'p' || verb->form[i] == 'x')
            for (size_t n = 0; n < arguments[i].length; n++)
                sink += (unsigned char)arguments[i].text[n];
        else if (verb->form[i] == '*' && arguments[i].text)
            sink += (unsigned char)strlen(arguments[i].text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct argument arguments[8] = {{0}};
    const struct verb *verb;
    char *line;

    if (size >= MAX_LINE || memchr(data, '\n', size))
        return -1;
    line = malloc(size + 1);
    memcpy(line, data, size);
    line[size] = 0;
    out_length = 0;
    decoded.at = bytes;
    decoded.left = sizeof bytes;
    if ((verb = parse_request(line, arguments)))
        read_arguments(verb, arguments);
    memcpy(line, data, size);
    line[size] = 0;
    out_length = 0;
    worker_count = MAX_WORKERS;
    if (parse_script(line) == 0)
        for (unsigned i = 0; i < script_calls; i++)
            read_arguments(script[i].verb, script[i].arguments);
    free(line);
    return 0;
}
