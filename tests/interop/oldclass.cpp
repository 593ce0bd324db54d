// SPDX-License-Identifier: MIT
//
// An SMObject as programs lay it out that know nothing of libsm: two shmget calls, 0666, a plain int that
// is counted up and down without a lock, and both segments removed by whoever leaves at 1 or less. The
// mount tests set it against the mount. It obeys one command per line of standard input and answers with one
// line each, so that a test can stop the world between any two steps.
//
//     oldclass PATH P SIZE

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include <sys/ipc.h>
#include <sys/shm.h>

namespace {

class OldObject {
public:
	OldObject(const char *path, char proj_id, int size) : path_(path), proj_id_(proj_id), size_(size) {}

	int create()
	{
		key_t data_key = ftok(path_.c_str(), proj_id_);
		key_t counter_key = ftok(path_.c_str(), proj_id_ - 58);

		if (data_key == -1 || counter_key == -1)
			return -1;
		data_id_ = shmget(data_key, size_, IPC_CREAT | 0666);
		if (data_id_ < 0)
			return -1;
		counter_id_ = shmget(counter_key, sizeof(int), IPC_CREAT | 0666);
		return counter_id_ < 0 ? -1 : 0;
	}

	int access()
	{
		void *data = shmat(data_id_, nullptr, 0);
		void *counter = shmat(counter_id_, nullptr, 0);

		if (data == reinterpret_cast<void *>(-1) || counter == reinterpret_cast<void *>(-1))
			return -1;
		data_ = static_cast<char *>(data);
		counter_ = static_cast<int *>(counter);
		++*counter_;
		return 0;
	}

	int leave()
	{
		bool last = *counter_ <= 1;

		if (!last)
			--*counter_;
		shmdt(data_);
		shmdt(counter_);
		if (last)
			return shmctl(data_id_, IPC_RMID, nullptr) | shmctl(counter_id_, IPC_RMID, nullptr);
		return 0;
	}

	std::string read() const { return std::string(data_, strnlen(data_, size_)); }
	void write(const std::string &text) { std::strncpy(data_, text.c_str(), size_); }
	int count() const { return *counter_; }

private:
	std::string path_;
	char proj_id_;
	int size_;
	int data_id_ = -1;
	int counter_id_ = -1;
	char *data_ = nullptr;
	int *counter_ = nullptr;
};

void answer(int result)
{
	if (result == 0)
		std::cout << "ok" << std::endl;
	else
		std::cout << std::strerror(errno) << std::endl;
}

}

int main(int argc, char **argv)
{
	if (argc != 4) {
		std::cerr << "usage: oldclass PATH P SIZE" << std::endl;
		return 2;
	}

	OldObject object(argv[1], argv[2][0], std::atoi(argv[3]));
	std::string line;

	while (std::getline(std::cin, line)) {
		if (line == "create")
			answer(object.create());
		else if (line == "access")
			answer(object.access());
		else if (line == "read")
			std::cout << object.read() << std::endl;
		else if (line == "count")
			std::cout << object.count() << std::endl;
		else if (line == "leave")
			answer(object.leave());
		else if (line.compare(0, 6, "write ") == 0) {
			object.write(line.substr(6));
			answer(0);
		} else
			std::cout << "unknown command" << std::endl;
	}
	return 0;
}
