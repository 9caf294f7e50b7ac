/*
 * A stand-in for libnvidia-ml.so.1: the entry points, structs and protocols of NVML that the lab uses, played
 * from a text file. NVML_STANDIN names the file; it is read again at every call, so a test can change the
 * machine while somebody watches it. Without the file there is no driver.
 *
 *   driver 580.65.06                         the driver's version
 *   card GPU-1111 NVIDIA H100 80GB HBM3      a card: its UUID, then its name; the first is number 0
 *   instance 0 MIG-2222 7 MIG 3g.40gb        a MIG instance of card 0: UUID, instance id, name
 *   set 0 power_limit_mw 700000              one fact of card 0; without it the reading is NOT_SUPPORTED
 *   process 0 4711 1048576 7                 a process computes on card 0: id, bytes (- is unknown), instance
 *   mps 0 4711 1048576 7                     the same, as a client of MPS
 *   fail nvmlDeviceGetEccMode 3              this entry point returns this code
 *   delay nvmlDeviceGetName 500              this entry point answers after so many milliseconds
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"

static atomic_int opened;

static FILE *machine(void) {
    const char *path = getenv("NVML_STANDIN");
    return path ? fopen(path, "r") : NULL;
}

int find(const char *key, int skip, char *value) {
    char line[LINE];
    size_t length = strlen(key);
    FILE *file = machine();
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, key, length) && line[length] == ' ' && skip-- == 0) {
            strcpy(value, line + length + 1);
            fclose(file);
            return 1;
        }
    }
    fclose(file);
    return 0;
}

int enter(const char *entry) {
    char key[LINE], value[LINE];
    snprintf(key, sizeof key, "delay %s", entry);
    if (find(key, 0, value)) {
        long ms = atol(value);
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    snprintf(key, sizeof key, "fail %s", entry);
    if (find(key, 0, value))
        return atoi(value);
    return opened > 0 ? SUCCESS : UNINITIALIZED;
}

int card_of(handle_t handle) { return (int)((size_t)handle & 255) - 1; }
int instance_of(handle_t handle) { return (int)((size_t)handle >> 8) - 1; }
handle_t handle_of(int card, int instance) {
    return (handle_t)(size_t)(card + 1 + (instance + 1) * 256);
}

/* The line of a card or instance, split into its UUID and its name. */
static int identity(handle_t handle, char *uuid, char *name) {
    char value[LINE];
    int card, id, from;
    if (instance_of(handle) == NO_INSTANCE)
        return find("card", card_of(handle), value) && sscanf(value, "%95s %95[^\n]", uuid, name) == 2;
    for (int i = 0; find("instance", i, value); i++)
        if (sscanf(value, "%d %95s %d %n", &card, uuid, &id, &from) == 3 && card == card_of(handle) &&
            id == instance_of(handle)) {
            snprintf(name, TEXT, "%.90s", value + from);
            return 1;
        }
    return 0;
}

int copy(const char *text, char *buffer, unsigned size) {
    if (strlen(text) >= size)
        return INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return SUCCESS;
}

int fact(const char *entry, handle_t handle, const char *name, unsigned long long *number) {
    char key[LINE], value[LINE];
    int code = enter(entry);
    if (code)
        return code;
    snprintf(key, sizeof key, "set %d %s", card_of(handle), name);
    if (!find(key, 0, value))
        return NOT_SUPPORTED;
    *number = strtoull(value, NULL, 10);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    FILE *file = machine();
    if (!file)
        return DRIVER_NOT_LOADED;
    fclose(file);
    opened++;
    int code = enter("nvmlInitWithFlags");
    if (code)
        opened--;
    return code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    int code = enter("nvmlShutdown");
    if (!code)
        opened--;
    return code;
}

const char *nvmlErrorString(int code) { return code ? "an error of the stand-in" : "Success"; }

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    char value[LINE];
    int code = enter("nvmlSystemGetDriverVersion");
    if (code)
        return code;
    return find("driver", 0, value) ? copy(value, version, size) : NOT_SUPPORTED;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    char value[LINE];
    int code = enter("nvmlDeviceGetCount_v2");
    for (*count = 0; !code && find("card", (int)*count, value);)
        ++*count;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle_t *handle) {
    char value[LINE];
    int code = enter("nvmlDeviceGetHandleByIndex_v2");
    if (code)
        return code;
    *handle = handle_of((int)index, NO_INSTANCE);
    return find("card", (int)index, value) ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *wanted, handle_t *handle) {
    char value[LINE], uuid[TEXT];
    int card, id, code = enter("nvmlDeviceGetHandleByUUID");
    if (code)
        return code;
    for (int i = 0; find("card", i, value); i++)
        if (sscanf(value, "%95s", uuid) == 1 && !strcmp(uuid, wanted)) {
            *handle = handle_of(i, NO_INSTANCE);
            return SUCCESS;
        }
    for (int i = 0; find("instance", i, value); i++)
        if (sscanf(value, "%d %95s %d", &card, uuid, &id) == 3 && !strcmp(uuid, wanted)) {
            *handle = handle_of(card, id);
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(handle_t handle, char *buffer, unsigned size) {
    char uuid[TEXT], name[TEXT];
    int code = enter("nvmlDeviceGetUUID");
    if (code)
        return code;
    return identity(handle, uuid, name) ? copy(uuid, buffer, size) : INVALID_ARGUMENT;
}

int nvmlDeviceGetName(handle_t handle, char *buffer, unsigned size) {
    char uuid[TEXT], name[TEXT];
    int code = enter("nvmlDeviceGetName");
    if (code)
        return code;
    return identity(handle, uuid, name) ? copy(name, buffer, size) : INVALID_ARGUMENT;
}

struct memory {
    unsigned long long total, free, used;
};
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

static int memory(const char *entry, handle_t handle, struct memory *found) {
    int code = fact(entry, handle, "memory_bytes", &found->total);
    found->used = 0;
    if (!code && fact(entry, handle, "memory_used_bytes", &found->used))
        found->used = 0;
    found->free = found->total - found->used;
    return code;
}

int nvmlDeviceGetMemoryInfo(handle_t handle, struct memory *found) {
    return memory("nvmlDeviceGetMemoryInfo", handle, found);
}

int nvmlDeviceGetMemoryInfo_v2(handle_t handle, struct memory_v2 *found) {
    struct memory plain;
    if (found->version != (sizeof *found | 2u << 24))
        return VERSION_MISMATCH;
    int code = memory("nvmlDeviceGetMemoryInfo_v2", handle, &plain);
    if (!code) {
        found->total = plain.total;
        found->free = plain.free;
        found->used = plain.used;
        found->reserved = 0;
    }
    return code;
}

NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned, "power_limit_mw")
NUMBER_AND_PENDING(nvmlDeviceGetEccMode, int, "ecc")
NUMBER_AND_PENDING(nvmlDeviceGetMigMode, unsigned, "mig")

int nvmlDeviceGetCudaComputeCapability(handle_t handle, int *major, int *minor) {
    unsigned long long first = 0, second = 0;
    int code = fact("nvmlDeviceGetCudaComputeCapability", handle, "compute_major", &first);
    if (!code)
        code = fact("nvmlDeviceGetCudaComputeCapability", handle, "compute_minor", &second);
    *major = (int)first;
    *minor = (int)second;
    return code;
}

struct process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};

/* The protocol of two calls: with too little room the count comes back, and the code says so. */
static int processes(const char *entry, const char *key, handle_t handle, unsigned *count, struct process *found) {
    char value[LINE], bytes[TEXT];
    int card, pid, instance, code = enter(entry);
    unsigned room = found ? *count : 0, listed = 0;
    if (code)
        return code;
    for (int i = 0; find(key, i, value); i++) {
        instance = NO_INSTANCE;
        if (sscanf(value, "%d %d %95s %d", &card, &pid, bytes, &instance) < 3 || card != card_of(handle))
            continue;
        if (instance_of(handle) != NO_INSTANCE && instance != instance_of(handle))
            continue;
        if (listed < room)
            found[listed] = (struct process){
                .pid = (unsigned)pid,
                .bytes = *bytes == '-' ? ~0ULL : strtoull(bytes, NULL, 10),
                .gpu_instance = (unsigned)instance,
                .compute_instance = (unsigned)instance,
            };
        listed++;
    }
    *count = listed;
    return listed > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(handle_t handle, unsigned *count, struct process *found) {
    return processes("nvmlDeviceGetComputeRunningProcesses_v3", "process", handle, count, found);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(handle_t handle, unsigned *count, struct process *found) {
    return processes("nvmlDeviceGetMPSComputeRunningProcesses_v3", "mps", handle, count, found);
}
