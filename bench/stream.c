// Sends one TCP packet again and again, each time with the next sequence number.
//
//   stream DEVICE      then for each line on stdin: OFFSET SECONDS HEX
//
// OFFSET is where in the frame (HEX) the sequence number stands; its checksum is left as it is, as
// nobody who forwards the packet reads it. Prints how many were sent.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    char line[4096], hex[3001];
    unsigned char frame[1500];
    unsigned offset;
    double seconds;
    int sock = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET};

    if (argc != 2 || !(to.sll_ifindex = if_nametoindex(argv[1]))
        || bind(sock, (struct sockaddr *)&to, sizeof to)) {
        perror("stream");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        size_t bytes = 0;
        uint32_t sent = 0;
        if (sscanf(line, "%u %lf %3000s", &offset, &seconds, hex) != 3)
            return 2;
        for (; bytes < strlen(hex) / 2; bytes++)
            sscanf(hex + 2 * bytes, "%2hhx", &frame[bytes]);
        if (offset + 4 > bytes)
            return 2;
        for (double end = now_s() + seconds; sent % 8 || now_s() < end; sent++) {
            uint32_t number = htonl(sent);
            memcpy(frame + offset, &number, 4);
            send(sock, frame, bytes, 0);
        }
        printf("%u\n", sent);
        fflush(stdout);
    }
    return 0;
}
