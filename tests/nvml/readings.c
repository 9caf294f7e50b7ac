/*
 * What changes from second to second: clocks, power, heat, energy, and why the clocks are not higher.
 *
 *   set 0 sm_clock_mhz 1980        set 0 power_mw 655000        set 0 throttle_reasons 32
 *   set 0 memory_clock_mhz 2619    set 0 temperature_c 71       set 0 gpu_busy_percent 99
 *   set 0 energy_mj 123456789
 */
#include "machine.h"

enum { CLOCK_SM = 1, CLOCK_MEMORY = 2 };

struct utilization {
    unsigned gpu, memory;
};

NUMBER(nvmlDeviceGetPowerUsage, unsigned, "power_mw")
NUMBER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, "energy_mj")
NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "throttle_reasons")
NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "throttle_reasons")

int nvmlDeviceGetClockInfo(handle_t handle, int kind, unsigned *mhz) {
    unsigned long long number = 0;
    const char *name = kind == CLOCK_SM ? "sm_clock_mhz" : "memory_clock_mhz";
    if (kind != CLOCK_SM && kind != CLOCK_MEMORY)
        return INVALID_ARGUMENT;
    int code = fact("nvmlDeviceGetClockInfo", handle, name, &number);
    *mhz = (unsigned)number;
    return code;
}

int nvmlDeviceGetTemperature(handle_t handle, int sensor, unsigned *degrees) {
    unsigned long long number = 0;
    if (sensor != 0)
        return INVALID_ARGUMENT;
    int code = fact("nvmlDeviceGetTemperature", handle, "temperature_c", &number);
    *degrees = (unsigned)number;
    return code;
}

int nvmlDeviceGetUtilizationRates(handle_t handle, struct utilization *found) {
    unsigned long long number = 0;
    int code = fact("nvmlDeviceGetUtilizationRates", handle, "gpu_busy_percent", &number);
    found->gpu = (unsigned)number;
    found->memory = 0;
    return code;
}
