# An AMI from the raw disk of images/build, without an import service: a builder instance writes the
# disk to a second volume, whose snapshot is registered. Nothing of the builder is in the image.
#
#   packer build -var disk=build/image/demo.raw -var name=holdfast-demo -var version=0.1.0 images/ami
#
# amazon-ebssurrogate of the plugin github.com/hashicorp/amazon, 1.2 or later (boot_mode, imds_support).
packer {
  required_version = ">= 1.6.6"
}

variable "disk" {
  type        = string
  description = "The raw disk: NAME.raw of images/build."
}

variable "name" {
  type        = string
  description = "IMAGE_ID, as in NAME.manifest.json."
}

variable "version" {
  type        = string
  description = "IMAGE_VERSION, as in NAME.manifest.json."
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "volume_gib" {
  type        = number
  default     = 1
  description = "At least the disk's length; a second slot needs as much again."
}

variable "kms_key" {
  type        = string
  default     = ""
  description = "Key of the encrypted snapshot; empty: the account's own for EBS."
}

source "amazon-ebssurrogate" "holdfast" {
  region                  = var.region
  instance_type           = "t3.small"
  ssh_username            = "admin"
  temporary_key_pair_type = "ed25519"

  # The builder: Debian's own, newest image. Its key pair is packer's, lives as long as the builder
  # does, and never comes near the image.
  source_ami_filter {
    owners      = ["136693071363"]
    most_recent = true
    filters = {
      name                = "debian-12-amd64-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = "/dev/sdf"
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    volume_size           = var.volume_gib
    delete_on_termination = true
    encrypted             = true
    kms_key_id            = var.kms_key
  }

  ami_name                = "${var.name}-${var.version}"
  ami_description         = "${var.name} ${var.version}, booted by holdfast"
  ami_virtualization_type = "hvm"
  ami_architecture        = "x86_64"
  boot_mode               = "uefi"
  imds_support            = "v2.0"
  tpm_support             = "v2.0"
  ena_support             = true

  ami_root_device {
    source_device_name    = "/dev/sdf"
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_gib
    delete_on_termination = true
  }

  tags = {
    IMAGE_ID      = var.name
    IMAGE_VERSION = var.version
  }
}

build {
  sources = ["source.amazon-ebssurrogate.holdfast"]

  provisioner "file" {
    source      = var.disk
    destination = "/tmp/disk.raw"
  }

  # The volume is found by the size and the emptiness that it was made with: names of NVMe devices
  # follow no order.
  provisioner "shell" {
    inline = [
      "set -eu",
      "volume=$(lsblk -dnpo NAME,TYPE | awk '$NF == \"disk\" { print $1 }' | while read -r d; do lsblk -nro TYPE \"$d\" | grep -q part || echo \"$d\"; done)",
      "test \"$(echo \"$volume\" | wc -w)\" = 1",
      "sudo dd if=/tmp/disk.raw of=\"$volume\" bs=1M conv=fsync,sparse status=none",
      "sudo cmp -n \"$(stat -c %s /tmp/disk.raw)\" /tmp/disk.raw \"$volume\"",
    ]
  }
}
