/* SPDX-License-Identifier: MIT */
/*
 * The agent under any sequence of frames, garbage and mishaps of the link: what it sends is
 * whole and well-formed, what it holds is bounded, and nothing is left when all sessions end.
 *
 * Input: records of {u8 what, u8 session, u16 length, length bytes}.
 */
#include "agent-fake.h"
#include "fuzz.h"

enum what {
	SEND_REQUEST,
	SEND_BYTES,
	END_SESSION,
	REOPEN,
	TOGGLE_WINDOW, /* the host reads or does not */
	TOGGLE_WORKERS,
	TOGGLE_MEMORY,
	LET_TIME_PASS,
	WRITE_LOG,
	SWAP_GOES, /* length % 4: committed, refused, cancelled, held */
	_WHAT_MAX,
};

static void swap_goes(size_t how)
{
	static const enum swap_state outcomes[] = {SWAP_FINALISED, SWAP_REFUSED, SWAP_CANCELLED,
						   SWAP_FINALISED};

	fake.outcome = outcomes[how % 4];
	fake.swap_error = fake.outcome == SWAP_CANCELLED ? -ETIMEDOUT : 0;
	fake.hold_swap = how % 4 == 3;
	fake.stage_error = how & 4 ? -EPERM : 0;
}

static void act(unsigned what, uint32_t session, const uint8_t *data, size_t len)
{
	switch (what % _WHAT_MAX) {
	case SEND_REQUEST:
		fake_send(FRAME_REQUEST, session, 7, data, len);
		break;
	case SEND_BYTES:
		fake_send_bytes(data, len);
		break;
	case END_SESSION:
		fake_send(FRAME_SESSION_END, session, 0, NULL, 0);
		break;
	case REOPEN:
		fake_reopen();
		break;
	case TOGGLE_WINDOW:
		fake.closed_window = !fake.closed_window;
		break;
	case TOGGLE_WORKERS:
		fake.hold_workers = !fake.hold_workers;
		break;
	case TOGGLE_MEMORY:
		fake.out_of_memory = !fake.out_of_memory;
		break;
	case LET_TIME_PASS:
		fake.now += len * CLOCK_MS;
		break;
	case WRITE_LOG:
		fake_log("fuzz");
		break;
	default:
		swap_goes(len);
	}
	fake_run();
	fake_drain();
	FUZZ_CHECK(agent->out_bytes <= AGENT_OUT_MAX + 2 * FRAME_SIZE_MAX);
	FUZZ_CHECK(agent->upload_bytes <= AGENT_UPLOADS_TOTAL_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fake_start();
	for (unsigned n = 0; n < 200 && size >= 4 && !fake.powered; n++) {
		size_t len = (size_t)data[2] | (size_t)data[3] << 8;

		if (len > size - 4)
			len = size - 4;
		act(data[0], data[1], data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	fake_stop();
	return 0;
}
