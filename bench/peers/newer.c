/*
 * A module that lets an older server accept what ChasquiMQ needs of Redis 8.6, so that it can be measured at all:
 *
 *     XACKDEL key group IDS n id …   as XACK and XDEL in one command (Redis 8.2)
 *     XREADGROUP … CLAIM ms …        without CLAIM: nothing is claimed from dead consumers (8.4)
 *     XADD key IDMP producer id …    without IDMP: a repeated add is not noticed (8.6)
 *
 * The server does less than Redis 8.6 would for the last two, so this favours the peer. The few functions of the module
 * interface are declared here, since the servers' headers are not on every machine.
 */
#include <stddef.h>
#include <string.h>
#include <strings.h>

typedef struct RedisModuleCtx Context;
typedef struct RedisModuleString String;
typedef struct RedisModuleCallReply Reply;
typedef struct RedisModuleCommandFilterCtx Command;
typedef struct RedisModuleCommandFilter Filter;

#define API(type, name, ...) static type (*name)(__VA_ARGS__)
API(void, SetModuleAttribs, Context *, const char *, int, int);
API(int, CreateCommand, Context *, const char *, int (*)(Context *, String **, int), const char *, int, int, int);
API(Filter *, RegisterCommandFilter, Context *, void (*)(Command *), int);
API(int, CommandFilterArgsCount, Command *);
API(String *, CommandFilterArgGet, Command *, int);
API(int, CommandFilterArgDelete, Command *, int);
API(const char *, StringPtrLen, const String *, size_t *);
API(Reply *, Call, Context *, const char *, const char *, ...);
API(long long, CallReplyInteger, Reply *);
API(void, FreeCallReply, Reply *);
API(int, ReplyWithArray, Context *, long);
API(int, ReplyWithLongLong, Context *, long long);
API(int, WrongArity, Context *);

enum { OK = 0, FAILED = 1, API_VERSION = 1 };

static int is(const String *word, const char *text) {
    size_t size;
    const char *bytes = StringPtrLen(word, &size);
    return size == strlen(text) && !strncasecmp(bytes, text, size);
}

static long long integer(Reply *reply) {
    long long number = reply ? CallReplyInteger(reply) : 0;
    if (reply) FreeCallReply(reply);
    return number;
}

/* XACKDEL key group IDS n id …: for each id 1, or -1 when it was not there. */
static int ackdel(Context *context, String **words, int count) {
    if (count < 6 || !is(words[3], "IDS")) return WrongArity(context);
    String **ids = words + 5;
    long number = count - 5;
    long long acknowledged = integer(Call(context, "XACK", "!ssv", words[1], words[2], ids, (size_t)number));
    ReplyWithArray(context, number);
    if (acknowledged == number) {
        integer(Call(context, "XDEL", "!sv", words[1], ids, (size_t)number));
        for (long i = 0; i < number; i++) ReplyWithLongLong(context, 1);
        return OK;
    }
    for (long i = 0; i < number; i++)
        ReplyWithLongLong(context, integer(Call(context, "XDEL", "!ss", words[1], ids[i])) ? 1 : -1);
    return OK;
}

static void drop(Command *command, int first, int words) {
    for (int i = 0; i < words; i++) CommandFilterArgDelete(command, first);
}

static void filter(Command *command) {
    int count = CommandFilterArgsCount(command);
    const String *name = CommandFilterArgGet(command, 0);
    if (count > 5 && is(name, "XADD")) {
        if (is(CommandFilterArgGet(command, 2), "IDMP")) drop(command, 2, 3);
        else if (is(CommandFilterArgGet(command, 2), "IDMPAUTO")) drop(command, 2, 2);
    } else if (count > 6 && is(name, "XREADGROUP")) {
        for (int i = 4; i < count - 2; i++) {
            if (is(CommandFilterArgGet(command, i), "STREAMS")) return;
            if (is(CommandFilterArgGet(command, i), "CLAIM")) {
                drop(command, i, 2);
                return;
            }
        }
    }
}

int RedisModule_OnLoad(Context *context, String **words, int count) {
    int (*get)(const char *, void *) = (int (*)(const char *, void *))(((void **)context)[0]);
    (void)words;
    (void)count;
#define GET(name) if (get("RedisModule_" #name, (void *)&name)) return FAILED
    GET(SetModuleAttribs);
    GET(CreateCommand);
    GET(RegisterCommandFilter);
    GET(CommandFilterArgsCount);
    GET(CommandFilterArgGet);
    GET(CommandFilterArgDelete);
    GET(StringPtrLen);
    GET(Call);
    GET(CallReplyInteger);
    GET(FreeCallReply);
    GET(ReplyWithArray);
    GET(ReplyWithLongLong);
    GET(WrongArity);
    SetModuleAttribs(context, "newer", 1, API_VERSION);
    if (CreateCommand(context, "xackdel", ackdel, "write fast", 1, 1, 1)) return FAILED;
    return RegisterCommandFilter(context, filter, 0) ? OK : FAILED;
}
