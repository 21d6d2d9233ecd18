/* mosquitto's own library as a MQTT client, in one thread. See measure.rs. */

#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WINDOW = 256, LENGTH = 64 };

static int publishes, qos, count, sent, done, connected;
static struct timespec wall, processor;
static int has_begun;

static double since(clockid_t clock, const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

static void begin(void)
{
    if (has_begun)
        return;
    has_begun = 1;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &processor);
}

static void on_connect(struct mosquitto *client, void *unused, int code)
{
    (void)unused;
    if (code)
        exit(2);
    connected = 1;
    if (!publishes)
        mosquitto_subscribe(client, NULL, "bench", qos);
}

static void on_subscribe(struct mosquitto *client, void *unused, int id, int answers, const int *granted)
{
    (void)client, (void)unused, (void)id, (void)answers, (void)granted;
    puts("ready");
    fflush(stdout);
}

static void on_publish(struct mosquitto *client, void *unused, int id)
{
    (void)client, (void)unused, (void)id;
    done++;
}

static void on_message(struct mosquitto *client, void *unused, const struct mosquitto_message *message)
{
    (void)client, (void)unused, (void)message;
    begin();
    done++;
}

int main(int argc, char **argv)
{
    char payload[LENGTH];
    if (argc != 5)
        return 2;
    publishes = !strcmp(argv[1], "publish");
    qos = atoi(argv[3]);
    count = atoi(argv[4]);
    memset(payload, 'x', sizeof payload);
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(NULL, 1, NULL);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, WINDOW);
    mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, WINDOW);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_message_callback_set(client, on_message);
    if (mosquitto_connect(client, "127.0.0.1", atoi(argv[2]), 60))
        return 2;
    while (done < count) {
        if (publishes && connected) {
            begin();
            while (sent < count && sent - done < WINDOW) {
                if (mosquitto_publish(client, NULL, "bench", LENGTH, payload, qos, 0))
                    return 2;
                sent++;
            }
        }
        if (mosquitto_loop(client, 1000, 1))
            return 2;
    }
    printf("%.0f %.0f\n", count / since(CLOCK_MONOTONIC, &wall), since(CLOCK_PROCESS_CPUTIME_ID, &processor) * 1e9 / count);
    return 0;
}
