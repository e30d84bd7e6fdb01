# Two verbs: demo and test. Everything else is meson's.
BUILD ?= build
MESON_ARGS ?=

.PHONY: demo test build

demo: build
	$(BUILD)/ctl/theseusctl demo swap

test: build
	tests/run $(BUILD)

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	.ci/install-packages
	meson setup $(MESON_ARGS) $(BUILD)
