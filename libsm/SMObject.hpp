// SPDX-License-Identifier: MIT
#ifndef SMOBJECT_HPP
#define SMOBJECT_HPP

/*
 * SMObjectSpace::SMObject over libsm: programs written for the C++ class of that name compile unchanged
 * against this header and link with -lsm. C++11 or later; nothing here needs compiling on its own.
 *
 * What a program may count on, where the class left it open:
 *
 *   - Every function may be called at any time: before shmCreate(), after a failed call, on an object that
 *     was moved from. A failed shmAccess() leaves pdata_ null and nothing attached.
 *   - The destructor never ends the program. It detaches both segments, and frees them if this was the last
 *     reference. An object that accessed nothing changes nothing.
 *   - The counter is counted atomically, and processes that join and leave at one instant lose no count.
 *   - A second shmAccess() of the same object succeeds and counts nothing more. In a forked child the parent's
 *     reference stays the parent's; shmAccess() there is a reference of the child's own.
 *   - setUniquePathID() of an accessed object begins another one; what was accessed before stays attached,
 *     and counted, until the destructor.
 *   - An SMObject is one reference and is not copied. It may be moved, so it can be returned or kept in a
 *     std::vector.
 */

#include <libsm/sm.h>

// Programs that include this header rely on these getting through it.
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/types.h>
#include <cstring>
#include <string>

#include <memory>
#include <utility>
#include <vector>

namespace SMObjectSpace {

// The errors that errno(3) does not have.
enum ErrorFlags {
	EBADK = SM_EBADK
};

constexpr char EBADK_MSG[] = ": key_id out of range.";

// From the proj_id of the data segment down to that of the counter segment.
constexpr char KEY_OFFSET = 58;

// What pError() prints after the message for the custom error E; nullptr if E is none.
inline const char *errorMapping(int e) noexcept
{
	return e == EBADK ? EBADK_MSG : nullptr;
}

class SMObject {
public:
	SMObject() : SMObject("", '\0', 0) {}

	// PATH is copied, whatever its length. Nothing is created or attached here.
	SMObject(const char *path, char proj_id, int size)
		: error_handle_(0), pdata_(nullptr), size_(size), object_(make(path, proj_id, size)), earlier_()
	{
	}

	SMObject(const SMObject &) = delete;
	SMObject &operator=(const SMObject &) = delete;

	// OTHER is left as one that accessed nothing and names nothing.
	SMObject(SMObject &&other) noexcept
		: error_handle_(other.error_handle_), pdata_(other.pdata_), size_(other.size_),
		  object_(std::move(other.object_)), earlier_(std::move(other.earlier_))
	{
		other.forget();
	}

	// What this object held is left first, as by the destructor.
	SMObject &operator=(SMObject &&other) noexcept
	{
		if (this == &other)
			return *this;
		earlier_ = std::move(other.earlier_);
		object_ = std::move(other.object_);
		size_ = other.size_;
		error_handle_ = other.error_handle_;
		pdata_ = other.pdata_;
		other.forget();
		return *this;
	}

	~SMObject() = default;

	// Make both segments, mode 0666, or find them. 0, or -1 and error_handle_.
	int shmCreate() { return ended(ready() ? sm_create(object_.get()) : -1); }

	// Attach both, count one reference, and let pdata_ point to the bytes. 0, or -1 and error_handle_.
	int shmAccess()
	{
		const int result = ended(ready() ? sm_access(object_.get()) : -1);
		if (result < 0 && error_handle_ == EBUSY) {	// it is accessed already
			error_handle_ = 0;
			return 0;
		}
		pdata_ = result == 0 ? sm_data(object_.get()) : nullptr;
		return result;
	}

	// Both take effect with the next shmCreate(); a proj_id out of range is reported there.
	void setUniquePathID(const char *path, char proj_id)
	{
		if (accessed()) {
			earlier_.push_back(std::move(object_));
			pdata_ = nullptr;
		}
		object_ = make(path, proj_id, size_);
	}

	void setSize(int size)
	{
		size_ = size;
		if (object_ && !accessed())
			sm_object_set_size(object_.get(), bytes(size));
	}

	// One off the counter, never below 0; frees nothing. For a reference that a killed process left.
	void decrementMemCtr() { ended(ready() ? sm_decrement(object_.get()) : -1); }

	// "MESSAGE: why" and a newline: custom errors on standard output, all others on standard error.
	void pError(const char *message)
	{
		const char *custom = errorMapping(error_handle_);
		const bool bare = !message || !*message;
		if (custom)
			printf("%s%s\n", bare ? "" : message, bare ? custom + 2 : custom);
		else
			fprintf(stderr, "%s%s%s\n", bare ? "" : message, bare ? "" : ": ", strerror(error_handle_));
	}

public:
	int error_handle_;	// how the last call ended: 0, an errno value, or EBADK
	void *pdata_;		// the shared bytes, from a successful shmAccess() on

private:
	struct Leave {
		void operator()(sm_object *object) const noexcept { sm_object_free(object); }
	};
	using Handle = std::unique_ptr<sm_object, Leave>;

	// The kernel refuses the largest size as EINVAL, which is what a negative one should get.
	static size_t bytes(int size) noexcept { return size < 0 ? SIZE_MAX : static_cast<size_t>(size); }

	static Handle make(const char *path, char proj_id, int size)
	{
		return Handle(sm_object_new(path ? path : "", proj_id, bytes(size)));
	}

	bool accessed() const noexcept { return object_ && sm_data(object_.get()); }

	// False only where memory is out: a moved-from object gets a handle that names nothing.
	bool ready()
	{
		if (!object_)
			object_ = make("", '\0', size_);
		return static_cast<bool>(object_);
	}

	int ended(int result) noexcept
	{
		error_handle_ = object_ ? sm_error(object_.get()) : ENOMEM;
		return result;
	}

	void forget() noexcept
	{
		error_handle_ = 0;
		pdata_ = nullptr;
		size_ = 0;
		earlier_.clear();
	}

	int size_;
	Handle object_;			// what the name means now
	std::vector<Handle> earlier_;	// what was accessed under earlier names
};

} // namespace SMObjectSpace

#endif
