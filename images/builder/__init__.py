"""How an image is made from its folder: see images/build.

    image       the folder read: settings, lists, names that are derived from them
    packages    Debian's packages, extracted once; which file came from which of them
    tree        the root: what is named, the libraries that it needs, and where each file is from
    remote      what images with secrets of a service need
    dist        what units of units/dist need that an image names
    modules     what [Modules] loads when the root is there
    audit       what no image may have
    filesystem  the root as squashfs or erofs, and the hash tree over it
    boot        kernel, initramfs and command line as one EFI program
    sign        that program's signature, for Secure Boot
    disk        GPT, EFI system partition, root and hash tree
    oci         the root for container runtimes
    record      what is in it: SPDX document and manifest

Nothing here reads a clock, a host name or a random number: every time is SOURCE_DATE_EPOCH, and
every identifier is derived from the image's id and version or from the content that it names.
"""
