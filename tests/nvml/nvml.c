/*
 * A stand-in for libnvidia-ml.so.1: the entry points, structs and protocols of NVML that the lab uses, played
 * from a text file. NVML_STANDIN names the file; it is read again at every call, so a test can change the
 * machine while somebody watches it. Without the file there is no driver.
 *
 *   driver 580.65.06                         the driver's version
 *   card GPU-1111 NVIDIA H100 80GB HBM3      a card: its UUID, then its name; the first is number 0
 *   instance 0 MIG-2222 7 MIG 3g.40gb        a MIG instance of card 0: UUID, instance id, name
 *   set 0 power_limit_mw 700000              one fact of card 0; without it the reading is NOT_SUPPORTED
 *   set 0.7 multiprocessors 42               one fact of instance 7 of card 0, which has none of its card's
 *   text 0 serial 1654922006134              one fact of card 0 that is a text
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
    if (instance_of(handle) == NO_INSTANCE)
        snprintf(key, sizeof key, "set %d %s", card_of(handle), name);
    else
        snprintf(key, sizeof key, "set %d.%d %s", card_of(handle), instance_of(handle), name);
    if (!find(key, 0, value))
        return NOT_SUPPORTED;
    *number = strtoull(value, NULL, 0);
    return SUCCESS;
}

/* One fact of a card that is a text. */
static int text(const char *entry, handle_t handle, const char *name, char *buffer, unsigned size) {
    char key[LINE], value[LINE];
    int code = enter(entry);
    if (code)
        return code;
    snprintf(key, sizeof key, "text %d %s", card_of(handle), name);
    if (instance_of(handle) != NO_INSTANCE || !find(key, 0, value))
        return NOT_SUPPORTED;
    return copy(value, buffer, size);
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

int nvmlDeviceGetSerial(handle_t handle, char *buffer, unsigned size) {
    return text("nvmlDeviceGetSerial", handle, "serial", buffer, size);
}

int nvmlDeviceGetVbiosVersion(handle_t handle, char *buffer, unsigned size) {
    return text("nvmlDeviceGetVbiosVersion", handle, "vbios", buffer, size);
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
NUMBER(nvmlDeviceGetMemoryBusWidth, unsigned, "memory_bus_bits")
NUMBER(nvmlDeviceGetNumGpuCores, unsigned, "cuda_cores")
NUMBER(nvmlDeviceGetVirtualizationMode, unsigned, "virtualization")
NUMBER(nvmlDeviceGetPersistenceMode, unsigned, "persistence")
NUMBER(nvmlDeviceGetComputeMode, unsigned, "compute_mode")
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, "pcie_generation")
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, "pcie_generation_max")
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "pcie_width")
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "pcie_width_max")
NUMBER(nvmlDeviceGetGpcClkVfOffset, int, "sm_clock_offset_mhz")
NUMBER(nvmlDeviceGetMemClkVfOffset, int, "memory_clock_offset_mhz")
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

enum { SM_CLOCK = 1, MEMORY_CLOCK = 2 };

int nvmlDeviceGetMaxClockInfo(handle_t handle, int type, unsigned *mhz) {
    unsigned long long number = 0;
    const char *name = type == SM_CLOCK ? "sm_clock_max_mhz" : "memory_clock_max_mhz";
    if (type != SM_CLOCK && type != MEMORY_CLOCK)
        return INVALID_ARGUMENT;
    int code = fact("nvmlDeviceGetMaxClockInfo", handle, name, &number);
    *mhz = (unsigned)number;
    return code;
}

/* Of a card with links, those beyond the last do not exist; a card without any does not know the question. */
static int nvlink(const char *entry, handle_t handle, const char *name, unsigned link, unsigned *value) {
    unsigned long long links = 0, number = 0;
    int code = fact(entry, handle, "nvlinks", &links);
    if (!code && link >= links)
        return INVALID_ARGUMENT;
    if (!code)
        code = fact(entry, handle, name, &number);
    *value = (unsigned)number;
    return code;
}

int nvmlDeviceGetNvLinkState(handle_t handle, unsigned link, unsigned *active) {
    return nvlink("nvmlDeviceGetNvLinkState", handle, "nvlink_active", link, active);
}

int nvmlDeviceGetNvLinkVersion(handle_t handle, unsigned link, unsigned *version) {
    return nvlink("nvmlDeviceGetNvLinkVersion", handle, "nvlink_version", link, version);
}

struct pci {
    char legacy_bus_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};

int nvmlDeviceGetPciInfo_v3(handle_t handle, struct pci *found) {
    unsigned long long bus = 0, device_id = 0, subsystem_id = 0;
    int code = fact("nvmlDeviceGetPciInfo_v3", handle, "pci_device", &device_id);
    if (!code)
        code = fact("nvmlDeviceGetPciInfo_v3", handle, "pci_subsystem", &subsystem_id);
    if (!code)
        code = fact("nvmlDeviceGetPciInfo_v3", handle, "pci_bus", &bus);
    if (code)
        return code;
    *found = (struct pci){
        .bus = (unsigned)bus,
        .device_id = (unsigned)device_id,
        .subsystem_id = (unsigned)subsystem_id,
    };
    snprintf(found->legacy_bus_id, sizeof found->legacy_bus_id, "0000:%02X:00.0", found->bus & 255);
    snprintf(found->bus_id, sizeof found->bus_id, "00000000:%02X:00.0", found->bus & 255);
    return SUCCESS;
}

struct attributes {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mb;
};

/* As the real one, it answers for MIG instances alone. */
int nvmlDeviceGetAttributes_v2(handle_t handle, struct attributes *found) {
    unsigned long long multiprocessors = 0, gpu_slices = 0, compute_slices = 0;
    int code = fact("nvmlDeviceGetAttributes_v2", handle, "multiprocessors", &multiprocessors);
    if (!code)
        code = fact("nvmlDeviceGetAttributes_v2", handle, "gpu_slices", &gpu_slices);
    if (!code)
        code = fact("nvmlDeviceGetAttributes_v2", handle, "compute_slices", &compute_slices);
    *found = (struct attributes){
        .multiprocessors = (unsigned)multiprocessors,
        .gpu_slices = (unsigned)gpu_slices,
        .compute_slices = (unsigned)compute_slices,
    };
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(handle_t handle, unsigned *count) {
    unsigned long long on = 0;
    int code = fact("nvmlDeviceGetMaxMigDeviceCount", handle, "mig", &on);
    *count = on ? 7 : 0;
    return code == NOT_SUPPORTED ? SUCCESS : code;
}

int nvmlDeviceGetMigDeviceHandleByIndex(handle_t handle, unsigned index, handle_t *found) {
    char value[LINE], uuid[TEXT];
    int card, id, code = enter("nvmlDeviceGetMigDeviceHandleByIndex");
    if (code)
        return code;
    for (int i = 0; find("instance", i, value); i++)
        if (sscanf(value, "%d %95s %d", &card, uuid, &id) == 3 && card == card_of(handle) && !index--) {
            *found = handle_of(card, id);
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle_t handle, handle_t *found) {
    int code = enter("nvmlDeviceGetDeviceHandleFromMigDeviceHandle");
    if (code)
        return code;
    if (instance_of(handle) == NO_INSTANCE)
        return INVALID_ARGUMENT;
    *found = handle_of(card_of(handle), NO_INSTANCE);
    return SUCCESS;
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
