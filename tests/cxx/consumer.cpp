// SPDX-License-Identifier: MIT
// The other side: an object that is given its name and size late, and the header found as <libsm/SMObject.hpp>.
#include <cstdio>
#include <string>
#include <libsm/SMObject.hpp>
#include "message.hpp"

class Display {
public:
	int connect(const char *path)
	{
		memory.setUniquePathID(path, 'P');
		memory.setSize(sizeof(Message));
		if (memory.shmCreate() || memory.shmAccess()) {
			memory.pError("consumer");
			return -1;
		}
		return 0;
	}

	void show() const
	{
		const Message *message = static_cast<Message *>(memory.pdata_);
		printf("%d %.1f %s\n", message->number, message->value, message->text);
	}

private:
	SMObjectSpace::SMObject memory;
};

int main(int argc, char *argv[])
{
	char resolved[PATH_MAX];
	Display display;

	if (argc != 2 || !realpath(argv[1], resolved) || display.connect(resolved) < 0)
		return 1;
	display.show();
	return 0;
}
