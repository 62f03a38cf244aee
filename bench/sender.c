/* Sends an exactly known number of made-up TCP packets through an interface, as fast as one core can.
 *
 *   sender INTERFACE KIND PACKETS RATE SECONDS
 *
 * KIND mix:    three of a hundred packets are SYNs, each of a new flow; of 15 flows 13 are answered,
 *              one is refused and one is dark, 1000 SYNs later. The rest are data. A fifth is IPv6.
 * KIND flood:  only SYNs, each of another flow, from all over the IPv4 address space.
 *
 * RATE packets/s, 0: no limit. It ends after so many PACKETS (and the answers still to come) or
 * SECONDS, and says on stdout, as JSON, what it has sent. live_traffic.py knows the same flows.
 *
 * sendmmsg past the queueing discipline: on a veth pair 15% quicker than a PACKET_TX_RING, and a
 * packet that is not taken is an error here and not a loss.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 128, LAG = 1000, KINDS = 15, FRAME = 192 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { ANSWERED, REFUSED, DARK };

static const uint8_t LINUX_OPTIONS[20] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
static const uint8_t SITE[8] = {0x20, 0x01, 0x0d, 0xb8};

static uint64_t sent[4]; /* data, SYN, SYN+ACK, RST */

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double now_s(void)
{
    return seconds_of(CLOCK_MONOTONIC);
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = value >> 8;
    at[1] = value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t sum(const uint8_t *at, unsigned bytes, uint32_t total)
{
    for (unsigned i = 0; i < bytes; i += 2)
        total += (at[i] << 8) | at[i + 1];
    return total;
}

static uint32_t folded(uint32_t total)
{
    total = (total >> 16) + (total & 0xffff);
    return ~((total >> 16) + total) & 0xffff;
}

static int fate(uint64_t flow)
{
    return flow % KINDS == 3 ? REFUSED : flow % KINDS == 7 ? DARK : ANSWERED;
}

/* The two ends of a flow; back: seen from the other side. */
struct ends {
    int v6, back;
    uint32_t orig, resp, orig_port, resp_port;
};

static struct ends ends_of(uint64_t flow)
{
    int dark = fate(flow) == DARK;
    struct ends e = {flow % 5 == 0, 0, 0x0a000000 | (flow & 0xffffff),
                     (dark ? 0xcb007100 : 0xc6336400) + flow % 251,
                     1024 + (flow >> 24) % 60000, dark ? 23 : 443};
    return e;
}

static struct ends flood_ends(uint64_t flow)
{
    /* An odd factor gives each of 2^32 numbers another address. */
    uint32_t mixed = (uint32_t)flow * 0x9e3779b1u;
    uint32_t other = (mixed ^ (mixed >> 15)) * 0x85ebca6bu;
    struct ends e = {0, 0, mixed, 0xcb007100 | (other & 0xff), 1024 + (other >> 16) % 60000, 80};
    return e;
}

static void address6(uint8_t *at, uint32_t tail)
{
    memcpy(at, SITE, 8);
    put32(at + 8, 0);
    put32(at + 12, tail);
}

static uint8_t *network_header(uint8_t *at, const struct ends *e, unsigned tcp_bytes)
{
    uint32_t from = e->back ? e->resp : e->orig, to = e->back ? e->orig : e->resp;
    if (e->v6) {
        put32(at, 0x60000000);
        put16(at + 4, tcp_bytes);
        put16(at + 6, 6 << 8 | 64);
        address6(at + 8, from);
        address6(at + 24, to);
        return at + 40;
    }
    put32(at, 0x45000000 | (20 + tcp_bytes));
    put32(at + 4, 0x4000);
    put32(at + 8, 64 << 24 | 6 << 16);
    put32(at + 12, from);
    put32(at + 16, to);
    put16(at + 10, folded(sum(at, 20, 0)));
    return at + 20;
}

/* One frame; its length. */
static unsigned frame(uint8_t *out, const struct ends *e, unsigned flags, unsigned payload)
{
    unsigned options = flags & SYN ? 20 : 0, tcp_bytes = 20 + options + payload;
    memcpy(out, "\x02\x00\x5e\x00\x00\x02\x02\x00\x5e\x00\x00\x01", 12);
    put16(out + 12, e->v6 ? ETH_P_IPV6 : ETH_P_IP);
    uint8_t *ip = out + 14, *tcp = network_header(ip, e, tcp_bytes);
    put16(tcp, e->back ? e->resp_port : e->orig_port);
    put16(tcp + 2, e->back ? e->orig_port : e->resp_port);
    put32(tcp + 4, e->orig * 40503u + e->back);
    put32(tcp + 8, flags & ACK ? e->orig * 40503u + 1 : 0);
    tcp[12] = (20 + options) << 2;
    tcp[13] = flags;
    put16(tcp + 14, 64240);
    put32(tcp + 16, 0);
    memcpy(tcp + 20, LINUX_OPTIONS, options);
    memset(tcp + 20 + options, 'x', payload);
    uint32_t pseudo = e->v6 ? sum(ip + 8, 32, 0) : sum(ip + 12, 8, 0);
    put16(tcp + 16, folded(sum(tcp, tcp_bytes, pseudo + 6 + tcp_bytes)));
    sent[flags & SYN ? (flags & ACK ? 2 : 1) : flags & RST ? 3 : 0]++;
    return tcp + tcp_bytes - out;
}

static uint64_t flows; /* that have begun */

/* The answer to the SYN of LAG flows ago, which falls to this one's place; 0 for a dark flow. */
static unsigned answer(uint8_t *out, uint64_t flow)
{
    struct ends e = ends_of(flow);
    e.back = 1;
    if (fate(flow) == DARK)
        return 0;
    return frame(out, &e, fate(flow) == REFUSED ? RST | ACK : SYN | ACK, 0);
}

static unsigned mixed(uint8_t *out, uint64_t number)
{
    unsigned place = number % 100, length = 0;
    if (place == 0 || place == 33 || place == 66) {
        struct ends e = ends_of(flows++);
        return frame(out, &e, SYN, 0);
    }
    if ((place == 1 || place == 34 || place == 67) && flows > LAG)
        length = answer(out, flows - LAG - 1);
    if (length)
        return length;
    /* Data of an old flow; those divisible by 15 are answered. */
    uint64_t old = flows > 2 * LAG ? flows - 2 * LAG - number * 7919 % LAG : 0;
    struct ends e = ends_of(old - old % KINDS);
    e.back = number & 1;
    return frame(out, &e, e.back ? PSH | ACK : ACK, e.back ? 100 : 0);
}

static unsigned flood(uint8_t *out, uint64_t number)
{
    struct ends e = flood_ends(number);
    return frame(out, &e, SYN, 0);
}

static uint8_t buffers[BATCH][FRAME];
static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];

/* Everything of the batch; 0, or -1 with errno. */
static int send_all(int sock, unsigned count)
{
    for (unsigned done = 0; done < count;) {
        int now = sendmmsg(sock, messages + done, count - done, 0);
        if (now < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            return -1;
        done += now > 0 ? now : 0;
    }
    return 0;
}

static int opened(const char *name)
{
    int one = 1, sock = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(name)};
    if (sock < 0 || setsockopt(sock, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0 ||
        bind(sock, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    for (unsigned i = 0; i < BATCH; i++) {
        parts[i].iov_base = buffers[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    return sock;
}

/* The packets that may be sent now; waits until there is one. */
static uint64_t due(double began_s, uint64_t number, uint64_t packets, double rate)
{
    uint64_t left = packets - number;
    if (rate <= 0)
        return left < BATCH ? left : BATCH;
    for (;;) {
        double behind = (now_s() - began_s) * rate - number;
        if (behind >= 1) {
            left = behind < left ? (uint64_t)behind : left;
            return left < BATCH ? left : BATCH;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
}

static int run(int sock, int is_flood, uint64_t packets, double rate, double seconds)
{
    double began_s = now_s();
    uint64_t number = 0;
    while (number < packets && now_s() - began_s < seconds) {
        unsigned count = due(began_s, number, packets, rate);
        for (unsigned i = 0; i < count; i++, number++)
            parts[i].iov_len = is_flood ? flood(buffers[i], number) : mixed(buffers[i], number);
        if (send_all(sock, count) < 0)
            return -1;
    }
    double took_s = now_s() - began_s;
    uint64_t rest = is_flood ? flows : flows > LAG ? flows - LAG : 0;
    for (; rest < flows; rest++) {
        parts[0].iov_len = answer(buffers[0], rest);
        if (parts[0].iov_len && send_all(sock, 1) < 0)
            return -1;
    }
    printf("{\"packets\": %lu, \"syn\": %lu, \"synack\": %lu, \"rst\": %lu, \"seconds\": %.6f,"
           " \"cpu_s\": %.6f}\n",
           sent[0] + sent[1] + sent[2] + sent[3], sent[1], sent[2], sent[3], took_s,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}

int main(int count, char **words)
{
    if (count != 6 || (strcmp(words[2], "mix") && strcmp(words[2], "flood"))) {
        fprintf(stderr, "usage: sender INTERFACE mix|flood PACKETS RATE SECONDS\n");
        return 2;
    }
    int sock = opened(words[1]);
    if (sock < 0 || run(sock, !strcmp(words[2], "flood"), strtoull(words[3], NULL, 10),
                        atof(words[4]), atof(words[5])) < 0) {
        fprintf(stderr, "%s: %s\n", words[1], strerror(errno));
        return 1;
    }
    return 0;
}
